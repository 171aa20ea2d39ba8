/** A release of each version of Node that is tested, oldest first. Odd ones and those to come are not refused. */
export const NODE_VERSIONS = ['20.20.2', '22.23.5', '24.22.3', '26.12.1'] as const;

/** @param version such as '26.12.1' */
export function majorOf(version: string): number {
  return Number(version.split('.')[0]);
}
