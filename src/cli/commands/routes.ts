import { type Command, Option } from 'commander';
import { TrainerError } from '../../errors.js';
import { loadBench, type PlaceOptions } from '../packages.js';
import type { RecordOptions } from '../routes/record.js';
import type { ReportOptions } from '../routes/report.js';
import type { TrafficOptions } from '../routes/traffic.js';
import { collect, numberFrom, wholeNumber } from './options.js';

const MAX_TOKENS = 100_000;
/** Limit on a rank's load relative to the mean: at this load, the other ranks wait twice as long as they work. */
const MAX_LOAD = 3;

/** `locmoe routes`: shows which experts tokens choose, and what decides the choice. */
export function routesCommand(command: Command): void {
  command
    .command('record')
    .description('route text with the model of a checkpoint, and write every choice of every token')
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run (its name) for its newest checkpoint')
    .option('--text <pattern...>', 'files of text (default: the validation text of the checkpoint)')
    .option(
      '--domain <name>',
      'with --text: its domain, which decides which experts may be used (default: the only one)',
    )
    .option('--max-tokens <n>', `with --text: read the first tokens alone (${MAX_TOKENS})`, wholeNumber(1))
    .option(
      '--sequences <n>',
      'without --text: sequences of each domain (default: as many as the training validates with)',
      wholeNumber(1),
    )
    .option('--data-dir <dir>', 'without --text: folder for prepared datasets (default: data)')
    .option('--csv', 'write CSV instead of Parquet')
    .option('--output <file>', 'file to write (default: routes.parquet or routes.csv)')
    .action(async (options: Omit<RecordOptions, 'maxTokens'> & { readonly maxTokens?: number }) => {
      const { text, domain, maxTokens, sequences, dataDir } = options;
      const misplaced =
        text === undefined
          ? { '--domain': domain, '--max-tokens': maxTokens }
          : { '--sequences': sequences, '--data-dir': dataDir };
      for (const [option, value] of Object.entries(misplaced))
        if (value !== undefined)
          throw new TrainerError(
            'BAD_INPUT',
            `${option} goes ${text === undefined ? 'with' : 'without'} --text`,
          );
      const { recordRoutes } = await import('../routes/record.js');
      await recordRoutes({ ...options, maxTokens: maxTokens ?? MAX_TOKENS });
    });
  command
    .command('report')
    .description('say what decides the choices: the id of a token, its domain, or what stands around it')
    .argument('[place...]', 'Parquet files of recorded routes, or a run that trained with train.recordRoutes')
    .option('--from <step>', 'first step', wholeNumber(0), 0)
    .option('--to <step>', 'last step', wholeNumber(0))
    .option('--checkpoint <dir>', 'route text now, with the model of this checkpoint')
    .option('--text <pattern...>', 'with --checkpoint: files of text')
    .option('--domain <name>', "with --checkpoint: the text's domain (default: the only one)")
    .option('--max-tokens <n>', 'with --checkpoint: read the first tokens alone', wholeNumber(1), MAX_TOKENS)
    .addOption(
      new Option('--cache', 'say instead what a cache of a part of the experts would hit').conflicts('svg'),
    )
    .option('--svg <file>', 'draw a picture too')
    .option('--json', 'print JSON')
    .action(async (places: readonly string[], options: Omit<ReportOptions, 'places'>) => {
      const { reportOnRoutes } = await import('../routes/report.js');
      await reportOnRoutes({ ...options, places });
    });
  command
    .command('traffic')
    .description('print the bytes of tokens between ranks and nodes: as sent, and as the recorded routes say')
    .argument('<run>', 'name or folder of a run')
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option('--from <step>', 'first step', wholeNumber(0), 0)
    .option('--to <step>', 'last step', wholeNumber(0))
    .option('--json', 'print JSON')
    .action(async (run: string, options: Omit<TrafficOptions, 'run'>) => {
      const { reportTraffic } = await import('../routes/traffic.js');
      await reportTraffic({ ...options, run });
    });
  command
    .command('place')
    .description(
      'find the ranks for the experts that recorded routes would send the least bytes to, and say what that saves',
    )
    .argument('<place...>', 'a run that trained with train.recordRoutes, or its Parquet files')
    .option('--nodes <n>', 'nodes to place for (those of the run)', wholeNumber(1))
    .option('--workers-per-node <n>', 'workers on each (those of the run)', wholeNumber(1))
    .option('--config <file|recipe>', 'what trained the routes (the configuration of the run)')
    .option(
      '--set <key=value>',
      'override a field, e.g. data.placement=domain; repeat for several',
      collect,
      [],
    )
    .option('--from <step>', 'first step', wholeNumber(0), 0)
    .option('--to <step>', 'last step', wholeNumber(0))
    .option('--max-load <factor>', 'most load of a rank over the mean', numberFrom(1, MAX_LOAD), 1.1)
    .option('--link <rate,latency>', 'link of a node to all others, e.g. 100gbps,5us (cluster.interNodeLink)')
    .option('--cores-per-node <n>', 'cores of a node (those of the calibrated machine)', numberFrom(0.01))
    .option('--shared-machine', 'all nodes share the cores of the calibrated machine', false)
    .option('--calibration <file>', 'costs of the machine (those of the last locmoe bench plan)')
    .option('--output <file>', 'file to write the placement to, for moe.placement')
    .option('--json', 'print JSON')
    .action(async (places: readonly string[], options: Omit<PlaceOptions, 'places'>) => {
      const { placeExperts } = await loadBench();
      await placeExperts({ ...options, places });
    });
}
