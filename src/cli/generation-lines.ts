import { type RecoveryAccount, type RunGeneration, restartCostsOf } from '@locmoe/run-format';
import { formatDuration, formatNumberOf, printable, wrapped } from '../format.js';

/**
 * Describes the generations of a run; returns no line if it had only one, which did not fail.
 *
 * @param lastStep last step of the last generation; 0 if it has done none
 */
export function generationLines(generations: readonly RunGeneration[], lastStep: number): string[] {
  if (generations.length < 2 && generations.every(({ failure }) => failure === null)) return [];
  const { restarts, lostSeconds } = restartCostsOf(generations);
  const cost = `${formatNumberOf(restarts, 'restart')}, ${formatDuration(lostSeconds)} lost in all`;
  return [
    `generations (${cost})`,
    ...generations.flatMap((each, index) =>
      linesOf(each, index === generations.length - 1 ? lastStep : each.lastStep),
    ),
  ];
}

function linesOf(
  { generation, from, nodes, workersPerNode, end, failure, recovery }: RunGeneration,
  lastStep: number | null,
): string[] {
  const start = from.kind === 'nothing' ? 'from the beginning' : `from the ${from.kind} of step ${from.step}`;
  const steps =
    lastStep === null ? null : lastStep <= from.step ? 'no step' : `steps ${from.step + 1} to ${lastStep}`;
  // Messages come from members of the run, so they may hold control characters.
  const how = end === 'open' ? failure && 'failed' : end === 'lost' ? 'its coordinator was lost' : end;
  const ended = failure === null ? how : `${how}: ${printable(failure.message)}`;
  return [
    wrapped(
      `  ${[`${generation}: ${nodes} x ${workersPerNode} ${start}`, steps, ended].filter(Boolean).join(', ')}`,
      '     ',
    ),
    ...(recovery === null ? [] : [`     ${accountLine(recovery)}`]),
  ];
}

export function accountLine({ detectedS, restartedS, lostSteps, lostS }: RecoveryAccount): string {
  const again =
    lostSteps === 0 ? 'no step' : `${formatNumberOf(lostSteps, 'step')} (${formatSeconds(lostS)})`;
  return `detected in ${formatSeconds(detectedS)}, restarted in ${formatSeconds(restartedS)}, ${again} done again`;
}

function formatSeconds(seconds: number): string {
  return `${seconds.toFixed(1)} s`;
}
