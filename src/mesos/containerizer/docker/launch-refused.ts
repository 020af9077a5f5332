/**
 * A task that cannot become a container however often it is tried: its definition is at fault. The text is shown to the
 * user as the message of TASK_FAILED.
 */

export class LaunchRefused extends Error {
  override readonly name = "LaunchRefused";
}
