import type { RunEvidence } from './evidence.js';

/** I1: generations and leading processes follow one another; one begins when the one before has failed. */
export function oneGenerationAtATime({ journal }: RunEvidence): string[] {
  const violations: string[] = [];
  let [term, generation] = [0, 0];
  /** True if the current generation may be followed by another. */
  let isOver = true;
  let isRunning = false;
  for (const entry of journal) {
    switch (entry.type) {
      case 'lead':
        if (entry.term <= term)
          violations.push(`process ${entry.pid} leads in term ${entry.term} after term ${term}`);
        term = entry.term;
        // The new leader may continue the current generation or begin another.
        [isOver, isRunning] = [true, false];
        break;
      case 'generation':
        if (entry.generation <= generation)
          violations.push(`generation ${entry.generation} began after generation ${generation}`);
        if (!isOver)
          violations.push(`generation ${entry.generation} began while ${generation} had not failed`);
        generation = entry.generation;
        [isOver, isRunning] = [false, false];
        break;
      case 'running':
        if (isRunning) violations.push(`generation ${entry.generation} was begun twice`);
        isRunning = true;
        isOver = false;
        break;
      case 'failure':
      case 'end':
        isOver = true;
        break;
    }
  }
  return violations;
}

/** I2: everything that the coordinator accepted came from the newest generation. */
export function nothingFromOlderGenerations({ journal, records, checkpoints }: RunEvidence): string[] {
  const violations: string[] = [];
  let newest = 0;
  const committedBy = new Map<number, number>();
  for (const entry of journal) {
    if (!('generation' in entry)) continue;
    if (entry.type === 'generation') newest = entry.generation;
    else if (entry.generation !== newest)
      violations.push(
        `\`${entry.type}\` of generation ${entry.generation} was taken in generation ${newest}`,
      );
    if (entry.type === 'committed') committedBy.set(entry.step, entry.generation);
  }
  let recorded = 0;
  for (const record of records) {
    if (record.type !== 'generation') continue;
    if (record.generation < recorded)
      violations.push(`the metrics have generation ${record.generation} after ${recorded}`);
    recorded = record.generation;
  }
  for (const { folder, step, generation } of checkpoints) {
    const last = committedBy.get(step);
    if (generation !== null && last !== undefined && generation < last)
      violations.push(`${folder} is of generation ${generation}, and generation ${last} had committed it`);
  }
  return violations;
}
