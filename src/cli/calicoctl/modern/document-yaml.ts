/** Documents as YAML, in the form of `get -o yaml`. Apart, because only some commands pay for loading YAML. */

import { stringify as yamlOf } from "yaml";
import { parseJson, stringifyJson } from "../../../model/json.ts";

/** Sorted, numbers exact. */
export function documentYaml(document: unknown): string {
  return yamlOf(parseJson(stringifyJson(document)), { sortMapEntries: true, lineWidth: 0 });
}
