import type { Command } from 'commander';
import { TrainerError } from '../../errors.js';
import type { RecordOptions } from '../routes/record.js';
import type { ReportOptions } from '../routes/report.js';
import type { TrafficOptions } from '../routes/traffic.js';
import { wholeNumber } from './options.js';

const MAX_TOKENS = 100_000;

/** `locmoe routes`: which experts tokens choose, and what decides it. */
export function routesCommand(command: Command): void {
  command
    .command('record')
    .description('route text with the model of a checkpoint, and write every choice of every token')
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run folder for its newest checkpoint')
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
}
