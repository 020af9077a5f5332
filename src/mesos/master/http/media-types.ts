/** Which bodies are taken and which answers given: JSON; protobuf is named in the refusals (reference: mesos-api 1.1). */

export interface Refusal {
  readonly status: number;
  readonly text: string;
}

/** Real Mesos refuses parameters such as `charset`; here they are accepted (reference: mesos-api 10.2). */
export function contentTypeRefusal(contentType: string | undefined): Refusal | undefined {
  if (contentType === undefined || contentType.trim() === "") {
    return { status: 400, text: "Expecting 'Content-Type' to be present" };
  }
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase();
  if (type === "application/json") return undefined;
  return {
    status: 415,
    text: `Expecting 'Content-Type' of application/json (got '${contentType}'; protobuf is not served yet)`,
  };
}

export function acceptRefusal(accept: string | undefined): Refusal | undefined {
  const types = (accept ?? "*/*").split(",").map((one) => one.split(";", 1)[0]?.trim().toLowerCase());
  if (types.some((type) => type === "" || type === "*/*" || type === "application/*" || type === "application/json")) {
    return undefined;
  }
  return { status: 406, text: "Expecting 'Accept' to allow application/json (protobuf is not served yet)" };
}
