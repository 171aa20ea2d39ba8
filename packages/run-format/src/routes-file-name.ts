/** Returns the name of the file with the recorded routes of a step of a rank. */
export function routesFileName(step: number, rank: number): string {
  return `step-${String(step).padStart(6, '0')}-rank-${String(rank).padStart(3, '0')}.parquet`;
}

/** Returns the step and rank of a file of recorded routes; null if the name is not that of such a file. */
export function parseRoutesFileName(name: string): { readonly step: number; readonly rank: number } | null {
  const [, step, rank] = /^step-(\d+)-rank-(\d+)\.parquet$/.exec(name) ?? [];
  return step === undefined ? null : { step: Number(step), rank: Number(rank) };
}
