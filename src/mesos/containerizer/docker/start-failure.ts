/**
 * Why Docker did not start a container, in the words of `docker run` (reference/docker.md 5.2, 6.5): 127 the program is
 * not there, 126 it cannot be run, 125 anything else the daemon refused. Docker's own text follows, which Mesos left in
 * the sandbox only. Pure.
 */

export function startFailureCode(dockerMessage: string): 125 | 126 | 127 {
  if (/no such file or directory|executable file not found|not found in \$PATH/i.test(dockerMessage)) {
    // A missing bind source or device says "no such file" too, but not about exec.
    return /exec|OCI runtime create|starting container process/i.test(dockerMessage) ? 127 : 125;
  }
  if (
    /permission denied|is a directory|exec format error/i.test(dockerMessage) &&
    /exec|container process/i.test(dockerMessage)
  ) {
    return 126;
  }
  return 125;
}

/** Trouble between daemon and plug-ins or storage that may be over in a moment: worth another start. */
export function mayPass(status: number | undefined, dockerMessage: string): boolean {
  return (
    (status === 500 || status === 503) &&
    /connection refused|\bEOF\b|timeout|timed out|deadline exceeded|temporarily|connection reset|unavailable|device or resource busy/i.test(
      dockerMessage,
    )
  );
}
