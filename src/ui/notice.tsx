/** A sentence about something that went wrong, read out by screen readers. */

export function Notice({ text }: { readonly text: string | undefined }) {
  return text === undefined ? null : (
    <p className="notice" role="alert">
      {text}
    </p>
  );
}
