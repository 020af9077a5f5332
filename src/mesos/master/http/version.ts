/** What `/version` and `/state` say. Clients compare `version` with Mesos', so it is that of the API spoken here. */

export const mesosVersion = "1.11.0";

export const buildInfo = {
  version: mesosVersion,
  build_date: "2020-11-24 17:31:02",
  build_time: 1_606_239_062,
  build_user: "margay",
} as const;
