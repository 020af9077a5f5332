/** A new application by form or as JSON; switching keeps what was entered; refusals stand at their fields. */

import { type FormEvent, type ReactNode, useState } from "react";
import { api, RefusedRequest } from "./api.ts";
import { type AppForm, appFromForm, emptyForm, fieldOfPath, formFromApp } from "./app-form.ts";
import { Dialog } from "./dialog.tsx";
import { JsonEditor } from "./json-editor.tsx";
import { Notice } from "./notice.tsx";
import { appHref } from "./route.ts";

type Json = Record<string, unknown>;

export function CreateDialog({ onClose }: { readonly onClose: () => void }) {
  const [form, setForm] = useState<AppForm>(emptyForm);
  const [base, setBase] = useState<Json>({});
  const [jsonText, setJsonText] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<RefusedRequest>();

  const toggleMode = () => {
    setRefused(undefined);
    if (jsonText === undefined) return setJsonText(JSON.stringify(appFromForm(form, base), null, 2));
    const parsed = parsedApp(jsonText);
    if (parsed instanceof RefusedRequest) return setRefused(parsed);
    setBase(parsed);
    setForm(formFromApp(parsed));
    setJsonText(undefined);
  };

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const app = jsonText === undefined ? appFromForm(form, base) : parsedApp(jsonText);
    if (app instanceof RefusedRequest) return setRefused(app);
    setBusy(true);
    try {
      const created = await api.create(app);
      window.location.hash = appHref(created.id);
    } catch (error) {
      setRefused(error instanceof RefusedRequest ? error : new RefusedRequest(0, String(error)));
      setBusy(false);
    }
  };

  const shown = errorsByField(refused, jsonText === undefined);
  const modeSwitch = (
    <label className="switch">
      <input type="checkbox" checked={jsonText !== undefined} onChange={toggleMode} /> JSON Mode
    </label>
  );
  return (
    <Dialog title="New Application" onClose={onClose} aside={modeSwitch}>
      <form onSubmit={submit} noValidate>
        {shown.top.map((text) => (
          <Notice key={text} text={text} />
        ))}
        {jsonText === undefined ? (
          <Fields form={form} errors={shown.fields} onChange={(change) => setForm({ ...form, ...change })} />
        ) : (
          <JsonEditor text={jsonText} onChange={setJsonText} />
        )}
        <div className="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={busy}>
            {busy ? "Creating …" : "Create Application"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

type FieldTexts = Partial<Record<keyof AppForm, string>>;

function Fields(props: {
  readonly form: AppForm;
  readonly errors: FieldTexts;
  readonly onChange: (change: Partial<AppForm>) => void;
}) {
  const { form, errors, onChange } = props;
  const input = (name: keyof AppForm, label: string, hint?: string): ReactNode => (
    <Field label={label} error={errors[name]}>
      <input
        name={name}
        value={form[name]}
        placeholder={hint}
        onChange={(event) => onChange({ [name]: event.target.value })}
        autoComplete="off"
      />
    </Field>
  );
  const area = (name: "env" | "labels", label: string): ReactNode => (
    <Field label={label} error={errors[name]}>
      <textarea
        name={name}
        rows={2}
        value={form[name]}
        placeholder="KEY=value, one a line"
        onChange={(event) => onChange({ [name]: event.target.value })}
      />
    </Field>
  );
  return (
    <>
      <div className="row">
        {input("id", "ID", "my-docker-task")}
        {input("instances", "Instances")}
      </div>
      <div className="row">
        {input("image", "Image", "nginx")}
        {input("cpus", "CPUs")}
        {input("mem", "Memory (MiB)")}
      </div>
      {input("cmd", "Command", "May be left blank if the image has one")}
      <div className="row">
        <Field label="Network" error={undefined}>
          <select
            name="networkMode"
            value={form.networkMode}
            onChange={(event) => onChange({ networkMode: event.target.value as AppForm["networkMode"] })}
          >
            <option value="container">Container: an address of its own</option>
            <option value="bridge">Bridged</option>
            <option value="host">Host</option>
          </select>
        </Field>
        {form.networkMode === "container" && input("networkName", "Network name", "my-calico-net")}
      </div>
      <div className="row">
        <Field label="Health check" error={undefined}>
          <select
            name="checkProtocol"
            value={form.checkProtocol}
            onChange={(event) => onChange({ checkProtocol: event.target.value as AppForm["checkProtocol"] })}
          >
            <option value="none">None</option>
            <option value="HTTP">HTTP</option>
            <option value="TCP">TCP</option>
            <option value="COMMAND">Command</option>
          </select>
        </Field>
        {form.checkProtocol === "HTTP" && input("checkPath", "Path")}
        {form.checkProtocol === "COMMAND" && input("checkPath", "Command")}
        {(form.checkProtocol === "HTTP" || form.checkProtocol === "TCP") && input("checkPort", "Port")}
      </div>
      <div className="row">
        {area("env", "Environment variables")}
        {area("labels", "Labels")}
      </div>
    </>
  );
}

function Field(props: { readonly label: string; readonly error: string | undefined; readonly children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label className={props.error === undefined ? "field" : "field refused"}>
      {props.label}
      {props.children}
      {props.error !== undefined && (
        <span className="error" role="alert">
          {props.error}
        </span>
      )}
    </label>
  );
}

function parsedApp(text: string): Json | RefusedRequest {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
    return new RefusedRequest(0, 'The JSON is not an application: expected an object like {"id": …}.');
  } catch (error) {
    return new RefusedRequest(0, `The JSON does not parse: ${error instanceof Error ? error.message : error}`);
  }
}

/** In form mode each detail goes to its field; what has none, and everything in JSON mode, goes to the top. */
function errorsByField(
  refused: RefusedRequest | undefined,
  formShown: boolean,
): { readonly top: readonly string[]; readonly fields: FieldTexts } {
  if (refused === undefined) return { top: [], fields: {} };
  const fields: FieldTexts = {};
  const top: string[] = [];
  for (const [path, errors] of Object.entries(refused.fields)) {
    const field = formShown ? fieldOfPath(path) : undefined;
    if (field === undefined) top.push(`${path}: ${errors.join(" ")}`);
    else fields[field] = [fields[field], ...errors].filter((each) => each !== undefined).join(" ");
  }
  if (Object.keys(refused.fields).length === 0) top.push(refused.message);
  return { top, fields };
}
