import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT } from 'locmoe/internal/errors';
import { formatDuration, formatNumberOf } from 'locmoe/internal/format';
import { type BenchFolders, machine, makeBenchFolders, writeFigures } from '../folders.js';
import type { Pair } from '../pairs.js';
import { mean } from '../statistics.js';
import {
  assertChoices,
  type Contender,
  type Entry,
  type EntryOptions,
  entryOf,
  RECIPE,
  SEEDS,
  TABLES,
} from './entry.js';
import { lineOf } from './line.js';
import { FIRST_STEPS, firstLook, type KeptHere, type QualityRun, qualityRun, timedRuns } from './runs.js';
import { readTables, usable } from './tables.js';

export interface BenchGateOptions extends BenchFolders, EntryOptions {
  readonly dataDir: string;
  readonly quick: boolean;
  /** The command line, for the figures. */
  readonly command: string;
}

const TIMED_STEPS = 400;

/**
 * `locmoe bench gate`: trains a router by the fixed recipe with fixed seeds, prints one line that holds it
 * against the table with as many experts a token, and writes `gate.json`. Finished runs are kept in the work
 * folder.
 *
 * @returns the exit code of the command
 * @throws TrainerError as `entryOf` before anything runs; as `assertChoices`; `INTERNAL` if a run failed, `INTERRUPTED`
 */
export async function benchGate(options: BenchGateOptions): Promise<number> {
  const { quick, out, set, command } = options;
  const entry = entryOf(options);
  const table = TABLES[entry.numChoices];
  makeBenchFolders(options);
  console.log(`${entry.label}: experts of a token: ${entry.numChoices}; held against ${table.label}`);
  const tableFirst = await firstLook(options, table);
  const here: KeptHere = { ...options, firstLosses: tableFirst.firstLosses };
  const ownFirst = await qualityRun(here, entry, SEEDS[0], FIRST_STEPS);
  assertChoices(entry, ownFirst.expertsPerToken);
  const kept = quick ? { [SEEDS[0]]: perplexityOf(tableFirst) } : keptOf(entry, table, tableFirst);
  if (!quick) console.log(outlook([ownFirst, ...(kept === null ? [tableFirst] : [])]));

  const trained = async (contender: Contender, seed: number) => {
    const run = await qualityRun(here, contender, seed, quick ? FIRST_STEPS : undefined);
    console.log(`${contender.label}, seed ${seed}: perplexity ${perplexityOf(run).toFixed(3)}`);
    return run;
  };
  const runs: (Pair & { readonly seed: number; readonly run: QualityRun })[] = [];
  for (const seed of quick ? SEEDS.slice(0, 1) : SEEDS) {
    const run = await trained(entry, seed);
    assertChoices(entry, run.expertsPerToken);
    const other = kept?.[seed] ?? perplexityOf(await trained(table, seed));
    runs.push({ seed, own: perplexityOf(run), other, run });
  }
  const timed = await timedRuns(here, entry, table, quick ? FIRST_STEPS : TIMED_STEPS);

  const line = lineOf({
    labels: { own: entry.label, table: table.label },
    perplexity: runs,
    idShare: meanOf(runs.map(({ run }) => run.idShare)),
    localShare: { own: timed.own.localShare, table: timed.table.localShare },
    stepMs: { own: timed.own.stepMs, table: timed.table.stepMs },
    cacheHits: { own: meanOf(runs.map(({ run }) => run.cacheHits)), table: tableFirst.cacheHits },
  });
  const shown = quick ? `${FIRST_STEPS} steps of one seed, which say nothing: ${line}` : line;
  console.log(`\n${shown}`);
  writeFigures(out, 'gate.json', {
    line: shown,
    router: entry.router,
    set,
    numChoices: entry.numChoices,
    command,
    machine: machine(),
    precision: ownFirst.precision,
    tableRuns: kept === null ? 'trained here' : 'kept',
    tableFirst,
    runs,
    timed,
  });
  return EXIT.done;
}

function perplexityOf({ curve }: QualityRun): number {
  return Math.exp(curve.at(-1)!.loss);
}

/** Returns the perplexities of a table that the package has and that hold here, by seed; otherwise null. Prints why. */
function keptOf({ numChoices }: Entry, { label }: Contender, { firstLosses }: QualityRun) {
  const { perplexities, why } = usable(readTables()[numChoices], firstLosses);
  console.log(`${label}: ${why}`);
  return perplexities;
}

/** Says what follows, and about how long a run takes by the first steps of all that is trained. */
function outlook(firsts: readonly QualityRun[]): string {
  const { steps } = loadConfig(RECIPE).train;
  const ms = steps * mean(firsts.map(({ stepMs }) => stepMs));
  const runs = formatNumberOf(firsts.length * SEEDS.length, 'run');
  return `${runs} of ${formatNumberOf(steps, 'step')}, each about ${formatDuration(ms / 1000)}`;
}

function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : mean(known);
}
