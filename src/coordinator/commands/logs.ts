import type { ServiceError } from '@grpc/grpc-js';
import { type Command, Option } from 'commander';
import { prettyFactory } from 'pino-pretty';
import { TrainerError } from '../../errors.js';
import { parseLogLine, readLogs } from '../../observability/log-store.js';
import { LOG_LEVELS, type LogLevel, type LogRecord } from '../../observability/logger.js';
import type { CoordinatorClient } from '../../rpc/coordinator-client.js';
import { addLocateOptions, type LocateOptions, locateRun } from './locate.js';
import { parseSince, wholeNumber } from './options.js';

interface LogsOptions extends LocateOptions {
  readonly level: LogLevel;
  readonly rank: readonly number[];
  readonly since: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

/** `locmoe logs`: the lines of all processes of a run, live or over, in order of time. */
export function addLogsCommand(program: Command): void {
  const command = program
    .command('logs')
    .description('show the log of a run: coordinator, node agents and workers, in order of time');
  addLocateOptions(command)
    .addOption(new Option('--level <level>', 'least level to show').choices([...LOG_LEVELS]).default('trace'))
    .option(
      '--rank <rank>',
      'only this rank; repeat for several',
      (text, previous: readonly number[]) => [...previous, wholeNumber(0)(text)],
      [],
    )
    .option('--since <when>', 'only lines after this: 90s, 5m, 2h, 1d ago, or an ISO time', parseSince, 0)
    .option('-f, --follow', 'keep showing new lines of a live run')
    .option('--json', 'print the JSON lines as they are')
    .action(showLogs);
}

async function showLogs(options: LogsOptions): Promise<void> {
  const print = printer(options.json === true);
  const run = await locateRun(options);
  if (run.kind === 'live') return followLive(run.client, options, print);
  if (options.follow) console.error(`${run.record.runId} is over: nothing to follow`);
  const filter = { level: options.level, ranks: options.rank, sinceMs: options.since };
  for (const record of readLogs(run.folder.logs, filter)) print(record);
}

function followLive(
  client: CoordinatorClient,
  options: LogsOptions,
  print: (record: LogRecord) => void,
): Promise<void> {
  const { level, rank: ranks, since: sinceMs, follow = false } = options;
  const lines = client.logs({ level, ranks, sinceMs, follow });
  return new Promise<void>((resolve, reject) => {
    lines.on('data', ({ json }) => print(parseLogLine(json)));
    let state: 'new' | 'open' | 'failed' = 'new';
    lines.once('metadata', () => {
      state = 'open';
    });
    // A stream that fails ends as well.
    lines.on('end', () => state !== 'failed' && resolve());
    lines.on('error', (error: ServiceError) => {
      const wasOpen = state === 'open';
      state = 'failed';
      if (!wasOpen) void client.explain('StreamLogs', error).then(reject);
      else
        reject(
          new TrainerError(
            'UNAVAILABLE',
            `the coordinator at ${client.address} is gone (${error.details}); what was logged: locmoe logs without --follow`,
          ),
        );
    });
  }).finally(() => client.close());
}

/** Prints a record as JSON or, for people, as one coloured line: time, level, where, message. */
export function printer(json: boolean): (record: LogRecord) => void {
  if (json) return (record) => console.log(JSON.stringify(record));
  const pretty = prettyFactory({
    colorize: process.stdout.isTTY === true && !process.env.NO_COLOR,
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: '{where}{msg}',
    ignore: 'pid,hostname,run,generation,node,rank,step,where,stack,failure,context',
    singleLine: true,
  });
  return (record) => process.stdout.write(pretty({ ...record, where: `${place(record)}: ` }));
}

function place({ node, rank, step }: LogRecord): string {
  const parts = [
    node === undefined ? 'coordinator' : `node ${node}`,
    rank !== undefined && `rank ${rank}`,
    step !== undefined && `step ${step}`,
  ];
  return parts.filter(Boolean).join(' ');
}
