import { existsSync } from 'node:fs';
import type { ServiceError } from '@grpc/grpc-js';
import { type MatrixJson, RunLogReader, toMatrix } from '@locmoe/logs';
import { LOG_LEVELS, type LogLevel } from '@locmoe/logs/levels';
import { type Command, Option } from 'commander';
import { EXIT, TrainerError } from '../../errors.js';
import type { CoordinatorClient } from '../../rpc/coordinator-client.js';
import type { LogsReply, LogsRequest } from '../../rpc/generated/messages.js';
import { logFolder } from '../../run/run-logs.js';
import { LogPrinter } from '../log-printer.js';
import { addLocateOptions, type LocateOptions, locateRun } from './locate.js';
import { parseSince, wholeNumber } from './options.js';

interface LogsOptions extends LocateOptions {
  readonly level: LogLevel;
  readonly rank: number[];
  readonly since: number;
  readonly context: number;
  readonly beforeContext?: number;
  readonly afterContext?: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

const MAX_CONTEXT = 1_000;

/** `locmoe logs`: prints the log lines of all processes of a run in order of time, or the result of a LogQL query. */
export function logsCommand(command: Command): void {
  command.argument(
    '[query]',
    'LogQL: \'{rank="3"} |= "NaN"\', or without a selector \'|= "NaN"\'; of a metric query the series are shown',
    '',
  );
  addLocateOptions(command)
    .addOption(new Option('--level <level>', 'least level to show').choices([...LOG_LEVELS]).default('trace'))
    .option(
      '--rank <rank>',
      'only this rank; repeat for several',
      (text, previous: readonly number[]) => [...previous, wholeNumber(0)(text)],
      [],
    )
    .option('--since <when>', 'only lines after this: 90s, 5m, 2h, 1d ago, or an ISO time', parseSince, 0)
    .option(
      '-C, --context <lines>',
      'lines of the same source to show around each match',
      wholeNumber(0, MAX_CONTEXT),
      0,
    )
    .option('-B, --before-context <lines>', 'lines to show before each match', wholeNumber(0, MAX_CONTEXT))
    .option('-A, --after-context <lines>', 'lines to show after each match', wholeNumber(0, MAX_CONTEXT))
    .option('-f, --follow', 'keep showing new lines of a live run')
    .option('--json', 'print the JSON lines as they are')
    .addHelpText('after', '\nExit code 1 if no line matches, as with grep.')
    .action(showLogs);
}

async function showLogs(query: string, options: LogsOptions): Promise<void> {
  const { level, rank, since, context, json = false } = options;
  const request: LogsRequest = {
    query,
    level,
    ranks: rank,
    sinceMs: since,
    before: options.beforeContext ?? context,
    after: options.afterContext ?? context,
    follow: options.follow ?? false,
  };
  const printer = new LogPrinter({
    json,
    nowMs: Date.now(),
    colors: process.stdout.isTTY === true && !process.env.NO_COLOR,
    marksMatches: request.before > 0 || request.after > 0,
    columns: () => process.stdout.columns || Number.POSITIVE_INFINITY,
  });
  const output = new PacedOutput();
  const run = await locateRun(options);
  if (run.kind === 'live') return followLive(run.client, request, printer, output);
  if (!existsSync(run.folder.logs))
    throw new TrainerError('BAD_INPUT', `${run.folder.logs} is missing: the log of this run is gone`);
  if (request.follow) console.error(`${run.record.runId} is over: nothing to follow`);
  await new RunLogReader(logFolder(run.folder.runId, run.folder.logs)).read(
    { ...request, follow: false },
    {
      async lines(lines) {
        for (const line of lines) await output.write(printer.format(line));
      },
      series: ({ grid, series }) => void output.writeMatrix(printer, toMatrix(series, grid)),
    },
    { signal: new AbortController().signal, complete: Promise.resolve() },
  );
  output.end();
}

async function followLive(
  client: CoordinatorClient,
  request: LogsRequest,
  printer: LogPrinter,
  output: PacedOutput,
): Promise<void> {
  const stream = client.logs(request);
  let isOpen = false;
  stream.once('metadata', () => {
    isOpen = true;
  });
  try {
    for await (const { lines, matrixJson } of stream as AsyncIterable<LogsReply>) {
      if (matrixJson !== '') await output.writeMatrix(printer, JSON.parse(matrixJson));
      for (const line of lines) await output.write(printer.format({ ...line, text: line.json }));
    }
  } catch (error) {
    const known = error as ServiceError;
    if (!isOpen) throw await client.explain('StreamLogs', known);
    throw new TrainerError(
      'UNAVAILABLE',
      `the coordinator at ${client.address} is gone (${known.details}); what was logged: the same without --follow`,
    );
  } finally {
    client.close();
  }
  output.end();
}

/** Standard output that waits for slow readers, such as a pager. */
class PacedOutput {
  #isEmpty = true;

  write(text: string): Promise<void> {
    this.#isEmpty = false;
    return new Promise((resolve) => {
      if (process.stdout.write(text)) resolve();
      else process.stdout.once('drain', resolve);
    });
  }

  async writeMatrix(printer: LogPrinter, matrix: readonly MatrixJson[]): Promise<void> {
    await this.write(printer.formatMatrix(matrix));
    if (matrix.length === 0) process.exitCode = EXIT.noMatch;
  }

  /** Reports on standard error if nothing was found. */
  end(): void {
    if (!this.#isEmpty) return;
    console.error('no lines match');
    process.exitCode = EXIT.noMatch;
  }
}
