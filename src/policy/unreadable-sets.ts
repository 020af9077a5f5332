/**
 * Network sets that cannot be read. Nobody knows which addresses they hold, so a rule that turns away what they hold
 * would turn away too little: whoever is under such a rule is closed until the set can be read again. A rule that lets in
 * what they hold just lets in less, and needs nothing.
 */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { absentOr, decode } from "../model/resource.ts";
import { matches } from "../model/selector/selector.ts";
import type { SetId } from "./enforcement.ts";
import type { LabelIndex, LabelSource } from "./label-index.ts";
import type { Members } from "./members.ts";
import type { ConvertedRules } from "./rule-conversion.ts";

const OnlyLabels = z.looseObject({
  metadata: z.looseObject({ labels: absentOr(z.record(z.string(), z.string())) }),
});

export class UnreadableSets {
  /** By key; undefined: not even its labels are known, so that any selector may mean it. */
  readonly #sources = new Map<string, LabelSource | undefined>();

  /** `text` undefined: the set can be read, or is gone. True if that changes something. */
  set(key: string, text: string | undefined, namespace: string | undefined): boolean {
    if (text === undefined) return this.#sources.delete(key);
    this.#sources.set(key, labelsIn(text, namespace));
    return true;
  }

  get any(): boolean {
    return this.#sources.size > 0;
  }

  /** Why these rules cannot be enforced exactly. */
  problemsOf(title: string, { list, sets }: ConvertedRules, index: LabelIndex<Members>): readonly string[] {
    if (!this.any) return [];
    const turningAway = new Set<SetId>();
    for (const { action, source, destination } of [...list.inbound, ...list.outbound]) {
      if (action === "log") continue;
      for (const side of [source, destination]) {
        if (action !== "allow") for (const id of [...side.sets, ...(side.portSets ?? [])]) turningAway.add(id);
        if (action !== "deny") for (const id of [...side.notSets, ...(side.notPortSets ?? [])]) turningAway.add(id);
      }
    }
    return [...this.#sources].flatMap(([key, source]) => {
      const labels = source && index.effectiveLabels(source);
      const meant = [...turningAway].some((id) => {
        const content = sets.get(id);
        return content !== undefined && (labels === undefined || matches(content.selector, labels));
      });
      return meant ? [`${title} turns away network set ${key.split("/").at(-1)}, which cannot be read`] : [];
    });
  }
}

function labelsIn(text: string, namespace: string | undefined): LabelSource | undefined {
  try {
    const { labels = {} } = decode(OnlyLabels, text).metadata;
    if (namespace === undefined) return { labels, profiles: [] };
    return { labels: { ...labels, "projectcalico.org/namespace": namespace }, profiles: [`kns.${namespace}`] };
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
