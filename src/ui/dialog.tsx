/** A modal dialog on the browser's own element: focus is held inside, Escape closes. */

import { type ReactNode, useEffect, useRef } from "react";

export function Dialog(props: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly aside?: ReactNode;
}) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog
      ref={element}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
    >
      <div className="heading">
        <h2>{props.title}</h2>
        {props.aside}
      </div>
      {props.children}
    </dialog>
  );
}
