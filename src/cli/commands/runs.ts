import { findRun, listRuns } from '@locmoe/run-format';
import type { Command } from 'commander';
import { TrainerError } from '../../errors.js';
import {
  formatCount,
  formatDuration,
  formatNumberOf,
  formatShare,
  formatSize,
  formatTable,
} from '../../format.js';
import type { PruneOptions } from '../prune-runs.js';
import { bytesUnder, figuresOf } from '../run-figures.js';
import { parseSince, wholeNumber } from './options.js';

interface RunsOptions {
  readonly runsDir: string;
  readonly json?: true;
}

const DAY_S = 86_400;
const HEAD = 'run,state,recipe,router,layout,step,loss,perplexity,on node,age,size'.split(',');

/** `locmoe runs`: lists the runs of a folder, compares some, or removes old ones. */
export function runsCommand(command: Command): void {
  // The options of a subcommand that the command has too are parsed as the command's.
  const withFolder = (each: Command) =>
    each.option('--runs-dir <dir>', 'folder that holds the runs', 'runs').option('--json', 'print JSON');
  withFolder(command).action(list);
  withFolder(command.command('compare'))
    .description('show the settings in which runs differ, and their last figures side by side')
    .argument('<run...>', 'names or folders of runs')
    .action((names, _, called: Command) => compare(names, called.optsWithGlobals()));
  withFolder(command.command('prune'))
    .description('say which runs, or checkpoints, could be removed, and remove them with --yes')
    .option('--keep <n>', 'leave the newest runs as they are', wholeNumber(0))
    .option('--older-than <when>', 'only runs not written to since: 7d, 12h, or an ISO time', parseSince)
    .option('--checkpoints', 'remove only checkpoints: of each run all but the last and the best', false)
    .option('--yes', 'remove them', false)
    .addHelpText(
      'after',
      '\nNever removed: a run that is alive, and a run or checkpoint that another run of the folder began with or names.',
    )
    .action((_, called: Command) => prune(called.optsWithGlobals()));
}

function list({ runsDir, json }: RunsOptions): void {
  const runs = listRuns(runsDir).map((run) => ({
    ...figuresOf(run),
    bytes: bytesUnder(run.folder.directory),
  }));
  // Without a run this throws the reason.
  if (runs.length === 0) findRun(runsDir);
  const table = () =>
    formatTable(
      [
        HEAD,
        ...runs.map(({ shares, ...run }) => [
          run.runId,
          run.state,
          run.recipe ?? '-',
          run.router ?? '-',
          run.layout ?? '-',
          `${run.step}/${run.steps ?? '?'}`,
          run.validationLoss?.toFixed(3) ?? '-',
          run.perplexity?.toFixed(1) ?? '-',
          shares === null ? '-' : formatShare(1 - shares.otherNode),
          ageText((Date.now() - run.writtenMs) / 1000),
          formatSize(run.bytes),
        ]),
      ],
      { indent: '', textColumns: [1, 2, 3, 4] },
    );
  console.log(json ? JSON.stringify(runs) : table());
}

function ageText(seconds: number): string {
  return seconds < DAY_S ? formatDuration(seconds) : `${Math.floor(seconds / DAY_S)}d`;
}

async function compare(names: readonly string[], { runsDir, json }: RunsOptions): Promise<void> {
  const { compareRuns, comparisonText } = await import('../compare-runs.js');
  const comparison = compareRuns(names.map((name) => findRun(runsDir, name)));
  console.log(json ? JSON.stringify(comparison) : comparisonText(comparison));
}

async function prune(options: RunsOptions & PruneOptions & { readonly yes: boolean }): Promise<void> {
  const { runsDir, keep, olderThan, checkpoints, yes, json } = options;
  if (keep === undefined && olderThan === undefined && !checkpoints)
    throw new TrainerError('BAD_INPUT', 'say what to remove: --keep N, --older-than 7d, or --checkpoints');
  findRun(runsDir);
  const { planPrune, prune } = await import('../prune-runs.js');
  const { removals, spared } = planPrune(runsDir, options);
  const bytes = yes
    ? await prune(runsDir, removals, (line) => console.error(`locmoe: ${line}`))
    : removals.reduce((sum, removal) => sum + removal.bytes, 0);
  const lines = [
    ...removals.map(({ run, folders, bytes }) => {
      const what = checkpoints ? `${formatNumberOf(folders.length, 'checkpoint')} of ` : '';
      return `  ${what}${run.folder.runId}: ${formatSize(bytes)}`;
    }),
    ...[...spared].map(([{ folder }, reason]) => `  ${folder.runId} stays: ${reason}`),
    `${yes ? 'freed' : 'would free'} ${formatCount(bytes)} bytes${yes || bytes === 0 ? '' : '; remove them with --yes'}`,
  ];
  const folders = removals.flatMap((each) => each.folders);
  console.log(json ? JSON.stringify({ removed: yes, bytes, folders }) : lines.join('\n'));
}
