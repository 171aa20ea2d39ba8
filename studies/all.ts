import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { measureParts } from '@locmoe/bench/internal/measure-parts';
import { Command } from 'commander';
import { collectWords } from 'locmoe/internal/cli/commands/options';
import { EXIT } from 'locmoe/internal/errors';

const study = (name: string, ...more: readonly string[]) => [
  '--conditions=source',
  '--import',
  'tsx',
  fileURLToPath(new URL('run.ts', import.meta.url)),
  name,
  '--anew',
  ...more,
];

/**
 * The arguments of Node that make each report, the quickest first. The study of gates is left out: it
 * takes more hours than all the others together, and reuses the runs that it has.
 */
const REPORTS: Readonly<Record<string, readonly string[]>> = {
  collectives: study('collectives'),
  plan: study('plan'),
  step: study('step', '--turns', '2'),
  recovery: study('recovery'),
};

/**
 * `npm run bench:all`: makes the reports that are measured alone on the machine, one after the other. If one
 * fails, the others are still made; if one is interrupted, all end.
 *
 * @param reports replaces the reports in a test
 */
export const makeAll = (reports = REPORTS) =>
  new Command('all')
    .description('all reports but that of the gates, anew, one after the other; takes hours')
    .option(
      '--only <names>',
      `reports, separated by commas: ${Object.keys(reports).join(', ')}`,
      collectWords,
      [],
    )
    .option('--work-dir <dir>', 'an empty folder for each', 'runs/all')
    .action(async ({ only, workDir }: { readonly only: readonly string[]; readonly workDir: string }) => {
      process.exitCode = await measureParts({
        parts: Object.fromEntries(Object.entries(reports).map(([name, args]) => [name, async () => args])),
        only,
        workDir,
        out: 'docs/results',
        measure: async (_, args, { signal }) => {
          const child = spawn(process.execPath, args, { stdio: 'inherit' });
          // Ctrl-C in the terminal also reaches the child directly; a second signal does no harm.
          signal.addEventListener('abort', () => child.kill('SIGTERM'));
          const [code] = (await once(child, 'exit')) as [number | null];
          return code === EXIT.done
            ? { told: 'made', isBroken: false }
            : { told: `failed with code ${code}`, isBroken: true };
        },
      });
    });

export default makeAll();
