import path from 'node:path';
import type { FailureReport, RankAtFailure } from '@locmoe/run-format';
import { NOTHING_SAVED } from '../checkpoint/folders.js';
import { formatNumberOf, printable, wrapped } from '../format.js';

/** Ranks in the same state share a line; with more than this many states, only the number of ranks is printed. */
const MAX_GROUPS = 5;

/**
 * Formats a failure report for a terminal, in at most 11 lines before wrapping.
 *
 * @param columns width of the terminal; commands may be longer, so that they can be copied
 */
export function failureLines(report: FailureReport, columns = Number.POSITIVE_INFINITY): string[] {
  const { message, logsCommand, notRestarted } = report;
  return [
    // Names and messages come from members of the run, so they may hold control characters.
    ...[
      ...[`run failed: ${message}`, ...culpritLines(report), ...otherRanksLines(report)].map(printable),
      ...(notRestarted === null ? [] : [`  not restarted: ${notRestarted}`]),
    ].map((line) => wrapped(line, '    ', columns)),
    `  logs: ${logsCommand}`,
    `  resume: ${resumeAdvice(report)}`,
  ];
}

function resumeAdvice(report: FailureReport): string {
  const { resumeCommand, checkpoint, suspectCheckpoint: suspect, step, code } = report;
  const why =
    suspect && `${path.basename(suspect)} leads to the failure of step ${step} at any learning rate`;
  if (resumeCommand !== null && checkpoint !== null)
    // The origin follows as a shell comment, so that the whole line can be pasted.
    return `${resumeCommand}  # from ${path.basename(checkpoint)}${why === null ? '' : `; ${why}`}`;
  if (why !== null) return `from no checkpoint: ${why}; start a new run with other settings`;
  if (code === 'NOT_FINITE')
    return 'no checkpoint was saved yet, and with the same settings it would fail again: start a run with a lower train.learningRate';
  return NOTHING_SAVED;
}

function culpritLines({ rank, node, host, pid, exitCode, signal, ...report }: FailureReport): string[] {
  if (node === null || pid === null) return [];
  const who = rank === null ? `the agent of node ${node}` : `rank ${rank} of node ${node}`;
  const end =
    signal !== null
      ? `, killed by ${signal}`
      : exitCode !== null
        ? `, ended with code ${exitCode}`
        : stateOf(
            report.ranks.find((each) => each.rank === rank),
            report.silentMs,
          );
  const where = [
    report.step !== null && `step ${report.step}`,
    report.layer !== null && `layer ${report.layer}`,
    report.operation,
  ].filter(Boolean);
  return [
    `  culprit: ${who} on ${host ?? 'an unknown host'}, pid ${pid}${end}`,
    ...(where.length === 0 ? [] : [`  where: ${where.join(', ')}`]),
  ];
}

function stateOf(rank: RankAtFailure | undefined, silentMs: number | null): string {
  if (rank === undefined) return '';
  if (rank.processState === 'T') return ', stopped (SIGSTOP)';
  return silentMs === null || silentMs < 1000 ? '' : `, silent for ${(silentMs / 1000).toFixed(1)} s`;
}

function otherRanksLines({ ranks, rank: culprit, node, pid }: FailureReport): string[] {
  const isCulprit = (each: RankAtFailure) =>
    each.rank === culprit || (culprit === null && pid !== null && each.node === node);
  const groups = new Map<string, number[]>();
  for (const each of ranks.filter((one) => !isCulprit(one))) {
    const doing = [`step ${each.step}`, each.phase, each.operation.replace(/ \(operation \d+\)$/, '')];
    const key = `${doing.filter(Boolean).join(', ')}${each.processState === 'T' ? ', stopped (SIGSTOP)' : ''}`;
    groups.set(key, [...(groups.get(key) ?? []), each.rank]);
  }
  const lines = [...groups].map(([doing, members]) => `  ${formatRanks(members)}: ${doing}`);
  if (lines.length <= MAX_GROUPS) return lines;
  const numMore = [...groups.values()].slice(MAX_GROUPS - 1).flat().length;
  return [
    ...lines.slice(0, MAX_GROUPS - 1),
    `  and ${formatNumberOf(numMore, 'other rank')} elsewhere: failure.json in the run's folder`,
  ];
}

/** Formats [0, 2, 3, 4] as "ranks 0, 2-4". */
export function formatRanks(ranks: readonly number[]): string {
  const stretches: [number, number][] = [];
  for (const rank of [...ranks].sort((a, b) => a - b)) {
    const last = stretches.at(-1);
    if (last !== undefined && last[1] === rank - 1) last[1] = rank;
    else stretches.push([rank, rank]);
  }
  const words = stretches.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  return `${ranks.length === 1 ? 'rank' : 'ranks'} ${words.join(', ')}`;
}
