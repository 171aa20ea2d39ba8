import { measureRecovery } from '@locmoe/bench/internal/recovery/bench';
import {
  addResult,
  billTable,
  faultTable,
  NO_FIGURES,
  otherRows,
  type RecoveryFigures,
} from '@locmoe/bench/internal/recovery/figures';
import { PARTS } from '@locmoe/bench/internal/recovery/measure-row';
import type { Part } from '@locmoe/bench/internal/recovery/part';
import { wholeNumber } from 'locmoe/internal/cli/commands/options';
import { EXIT } from 'locmoe/internal/errors';
import { count, maybe, words } from '../kit/options.js';
import { study } from '../kit/study.js';
import { table } from '../kit/text.js';
import { fuzzCheckpointFiles } from './fuzz/checkpoints.js';
import { fuzzBothPlanes } from './fuzz/messages.js';
import { replayToBothPlanes } from './fuzz/stale.js';

/** Limit for the answer to a valid call right after mutated ones, on a quiet machine. */
const ANSWER_MS = 50;

/**
 * Sends mutated and replayed messages, and reads mutated checkpoint files: nothing may crash, hang, or be
 * accepted as valid.
 */
const fuzz: Part = async ({ runs, quick, seed, log }) => {
  const cases = runs ?? (quick ? 100 : 10_000);
  const failures = [
    ...(await fuzzBothPlanes(cases, seed, ANSWER_MS)),
    ...fuzzCheckpointFiles(cases, seed),
    ...(await replayToBothPlanes(cases, seed)),
  ];
  for (const failure of failures) log(failure);
  return {
    fuzz: { messages: cases, files: cases, failures },
    notes: `Seed ${seed}. Besides, ${cases} messages of earlier generations and other runs were replayed.`,
  };
};

export default study({
  name: 'recovery',
  description:
    'what faults cost a run: how soon each is known, the first new step after it, steps done again; a soak under random faults, mutated messages and checkpoints',
  quick: 'each fault twice, a soak of a minute, 100 mutations',
  options: {
    only: words('faults and parts (soak, fuzz, cost) to measure; the others keep their figures'),
    runs: maybe(
      wholeNumber(1),
      'how often each fault is injected; without it 20, and 100 for killed workers',
    ),
    seed: count('faults, victims and times follow from it', 1, { least: 0 }),
  },

  async measure({ options, quick, workDir, out, dataDir, ...place }): Promise<RecoveryFigures> {
    const { only, runs, seed } = options;
    let figures: RecoveryFigures = place.previous ?? NO_FIGURES;
    const { cost, ...faults } = PARTS;
    const code = await measureRecovery(
      { only, ...(runs !== null && { runs }), quick, seed, workDir, out, dataDir },
      { ...faults, fuzz: async () => fuzz, cost: cost! },
      async (name, result) => {
        figures = addResult(figures, name, result);
        await place.write(figures);
      },
    );
    if (code !== EXIT.done) place.fail();
    return figures;
  },

  report: (figures) => {
    const [header, ...faults] = faultTable(figures);
    const bills = billTable(figures);
    const others = otherRows(figures);
    return {
      view: {
        faults: table([header!, ...faults.map(([name, ...cells]) => [`\`${name}\``, ...cells])]),
        bills: bills.length === 0 ? '' : table(bills),
        others: others.length === 0 ? '' : table([['', 'result'], ...others]),
        notes: Object.entries(figures.notes).map(([part, note]) => ({ part, note })),
      },
    };
  },
});
