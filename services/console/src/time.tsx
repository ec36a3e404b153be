// SPDX-License-Identifier: Apache-2.0
// Times as the server counts them: periods, days and windows are of UTC.

/** "2026-11-30T08:01:02Z" as "2026-11-30 08:01 UTC". */
export function timeText(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

export function Time({ at }: { at: string }) {
  return <time dateTime={at}>{timeText(at)}</time>;
}
