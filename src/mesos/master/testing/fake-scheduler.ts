/**
 * A scheduler on an in-memory stream. Keeps every event; can act by itself: acknowledge updates, decline what it does
 * not need, launch what it was told to launch.
 */

import type { FrameworkInfo } from "../../protocol/framework-info.ts";
import type { Offer } from "../../protocol/offer.ts";
import { parseResources } from "../../protocol/resource-grammar.ts";
import type { SchedulerCall, Subscribe } from "../../protocol/scheduler-call.ts";
import type { SchedulerEvent } from "../../protocol/scheduler-event.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import type { TaskStatus } from "../../protocol/task-status.ts";
import type { CallAnswer, Master } from "../master.ts";
import { Link } from "./link.ts";

type WithoutFramework<Call> = Call extends SchedulerCall ? Omit<Call, "framework_id"> : never;
export type CallBody = WithoutFramework<SchedulerCall>;

export class FakeScheduler {
  readonly info: FrameworkInfo;
  readonly events: SchedulerEvent[] = [];
  /** Offers that stand, newest last. */
  offers: Offer[] = [];
  acknowledges = true;
  onOffers: ((offers: readonly Offer[]) => void) | undefined;
  onUpdate: ((status: TaskStatus) => void) | undefined;
  id: string | undefined;
  #master: Master | undefined;
  #link: Link<SchedulerEvent> | undefined;
  #links = 0;

  constructor(info: Partial<FrameworkInfo> = {}) {
    this.info = { user: "nobody", name: "test", checkpoint: true, failover_timeout: 3_600, ...info };
  }

  get link(): Link<SchedulerEvent> | undefined {
    return this.#link;
  }

  get isConnected(): boolean {
    return this.#link !== undefined;
  }

  subscribe(master: Master, more: Partial<Subscribe> = {}): void {
    this.disconnect();
    this.#master = master;
    this.offers = [];
    const link = new Link<SchedulerEvent>(`scheduler-${this.info.name}-${this.#links++}`);
    this.#link = link;
    const id = this.id === undefined ? undefined : { value: this.id };
    master.subscribeFramework({ framework_info: { ...this.info, id }, ...more }, link);
  }

  /** The stream breaks: unread events are lost, the master notices at once. */
  disconnect(): void {
    const link = this.#link;
    this.#link = undefined;
    this.offers = [];
    if (link !== undefined) this.#master?.frameworkStreamEnded(link);
  }

  /** The master is gone. */
  forget(): void {
    this.#link = undefined;
    this.#master = undefined;
    this.offers = [];
  }

  call(body: CallBody, streamId = this.#link?.id): CallAnswer {
    if (this.#master === undefined) return { status: 0, text: "no master" };
    const framework_id = { value: this.id ?? "" };
    // The union survives: each member only had its framework_id taken off.
    return this.#master.schedulerCall({ ...body, framework_id } as SchedulerCall, streamId);
  }

  launch(offers: readonly Offer[], tasks: readonly TaskInfo[], refuse_seconds?: number): CallAnswer {
    return this.call({
      type: "ACCEPT",
      accept: {
        offer_ids: offers.map((offer) => offer.id),
        operations: [{ type: "LAUNCH", launch: { task_infos: tasks } }],
        ...(refuse_seconds === undefined ? {} : { filters: { refuse_seconds } }),
      },
    });
  }

  acknowledge(status: TaskStatus): CallAnswer | undefined {
    const { agent_id, task_id, uuid } = status;
    if (agent_id === undefined || uuid === undefined) return undefined;
    return this.call({ type: "ACKNOWLEDGE", acknowledge: { agent_id, task_id, uuid } });
  }

  /** Reads one event; false if there is none. */
  pump(): boolean {
    const link = this.#link;
    const event = link?.inbox.shift();
    if (link === undefined || event === undefined) {
      if (link?.closed) this.disconnect();
      return false;
    }
    this.events.push(event);
    switch (event.type) {
      case "SUBSCRIBED":
        this.id = event.subscribed.framework_id.value;
        break;
      case "OFFERS":
        this.offers.push(...(event.offers.offers ?? []));
        this.onOffers?.(event.offers.offers ?? []);
        break;
      case "RESCIND":
        this.offers = this.offers.filter((offer) => offer.id.value !== event.rescind.offer_id.value);
        break;
      case "UPDATE":
        this.onUpdate?.(event.update.status);
        if (this.acknowledges) this.acknowledge(event.update.status);
        break;
      default:
        break;
    }
    return true;
  }

  get updates(): readonly TaskStatus[] {
    return this.events.flatMap((event) => (event.type === "UPDATE" ? [event.update.status] : []));
  }

  /** `state reason message` of each update of a task, short. */
  told(taskId: string): string[] {
    return this.updates
      .filter((status) => status.task_id.value === taskId)
      .map((status) => [status.state, status.reason?.replace("REASON_", "")].filter(Boolean).join(" "));
  }

  types(): string[] {
    return this.events.map((event) => event.type);
  }
}

export function taskOn(offer: Offer, id: string, resources = "cpus:1;mem:64", more: Partial<TaskInfo> = {}): TaskInfo {
  return {
    name: id,
    task_id: { value: id },
    agent_id: offer.agent_id,
    resources: parseResources(resources, "test"),
    command: { value: "sleep 1000" },
    ...more,
  };
}
