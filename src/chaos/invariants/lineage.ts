import type { RunConfig } from '../../config/schema.js';
import { type RunEvidence, stepsOf } from './evidence.js';

/** Tolerance of a loss where the layout of the ranks changed. */
const RELATIVE_DIFFERENCE = 1e-5;

/** I3: every step of the final lineage is recorded once, in order, and every generation starts at a completed step. */
export function stepsAreContiguous({ journal, records }: RunEvidence): string[] {
  const violations: string[] = [];
  const steps = stepsOf(records).map(({ step }) => step);
  let last = firstStart(journal);
  for (const step of steps) {
    if (step !== last + 1) violations.push(`step ${step} follows step ${last}`);
    last = step;
  }
  const saved = new Set<number>();
  for (const entry of journal) {
    if (entry.type === 'committed') saved.add(entry.step);
    if (entry.type !== 'generation' || entry.generation === 1 || entry.from.kind !== 'checkpoint') continue;
    if (!saved.has(entry.from.step))
      violations.push(
        `generation ${entry.generation} starts from a checkpoint of step ${entry.from.step}, which nobody committed`,
      );
  }
  return violations;
}

function firstStart(journal: RunEvidence['journal']): number {
  return journal.find((entry) => entry.type === 'generation')?.from.step ?? 0;
}

/** I7: the losses equal those of a run without faults, bit for bit if the layout of the ranks is the same. */
export function lossesAreThoseOfTheTwin({ config, journal, records, twin }: RunEvidence): string[] {
  const expected = new Map(stepsOf(twin?.records ?? []).map(({ step, loss }) => [step, loss]));
  const layouts = journal.filter((entry) => entry.type === 'generation');
  const isSame = layouts.every(
    (each) => twin?.config != null && layoutOf(each) === layoutOf(twin.config.cluster),
  );
  const allowed = isSame ? 0 : RELATIVE_DIFFERENCE;
  const different = stepsOf(records).filter(({ step, loss }) => {
    const other = expected.get(step);
    // The loss of a skipped step is null.
    if (other === undefined || loss === null || other === null) return loss !== other;
    return Math.abs(loss - other) > allowed * Math.abs(other);
  });
  const [first] = different;
  if (first === undefined) return [];
  const { step, loss } = first;
  return [
    `the losses of ${different.length} steps are not those of the run without faults; the first is step ${step}: ${loss}, and ${expected.get(step) ?? 'none'} there${config === null ? '' : ` (${layoutOf(config.cluster)})`}`,
  ];
}

function layoutOf({ nodes, workersPerNode }: Pick<RunConfig['cluster'], 'nodes' | 'workersPerNode'>): string {
  return `${nodes}x${workersPerNode}`;
}
