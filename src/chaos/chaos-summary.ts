import type { JournalEntry } from '@locmoe/run-format';
import { formatDuration, formatNumberOf } from '../format.js';
import type { ChaosRecord } from './chaos-record.js';
import { INVARIANTS, type Verdict } from './invariants/invariants.js';

/** Returns the lines that `locmoe chaos` prints at its end. */
export function chaosSummary(
  injected: readonly ChaosRecord[],
  journal: readonly JournalEntry[],
  { checked, violations }: Verdict,
): string[] {
  const kinds = [...new Set(injected.map(({ fault }) => fault))];
  const counts = kinds.map((kind) => `${injected.filter(({ fault }) => fault === kind).length} ${kind}`);
  return [
    [formatNumberOf(injected.length, 'fault'), ...(counts.length === 0 ? [] : [counts.join(', ')])].join(
      ': ',
    ),
    recoveries(injected, journal),
    `checked: ${checked.map((name) => `${name} ${INVARIANTS[name]!.promise}`).join('; ')}`,
    ...(violations.length === 0 ? ['no invariant is broken'] : violations.map((each) => `BROKEN ${each}`)),
  ];
}

function recoveries(injected: readonly ChaosRecord[], journal: readonly JournalEntry[]): string {
  const sinceMs = injected[0]?.time ?? Number.POSITIVE_INFINITY;
  const accounts = journal
    .filter((entry) => entry.type === 'recovered')
    .filter(({ time }) => time >= sinceMs);
  const lost = accounts.reduce((sum, each) => sum + each.lostSteps, 0);
  const seconds = accounts.reduce((sum, each) => sum + each.detectedS + each.restartedS + each.lostS, 0);
  const recovered = accounts.length === 1 ? '1 recovery' : `${accounts.length} recoveries`;
  return `${recovered}: ${formatDuration(seconds)} lost, in it ${formatNumberOf(lost, 'step')} that ${lost === 1 ? 'was' : 'were'} done again`;
}
