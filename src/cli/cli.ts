#!/usr/bin/env node
import './compile-cache.js';
import '../local/quiet-libraries.js';
import { setImmediate } from 'node:timers/promises';
import { Command } from 'commander';
import { asTrainerError, EXIT, exitCodeOf } from '../errors.js';
import { printable } from '../format.js';
import { endAtSignals, keepInspectorShut } from '../os/on-signals.js';
import { VERSION } from '../rpc/version.js';
import { COMMANDS } from './commands.js';
import { endWithNpx } from './npx-watch.js';
import { addBenchCommands } from './packages.js';

/** Commands that continue when nobody reads their output. */
const GO_ON_UNREAD = ['train', 'serve', 'launch', 'node', 'api'];
const FLUSH_TIMEOUT_MS = 2_000;
keepInspectorShut();
endWithNpx();
endAtSignals();
let command = '';
const [first = '', second = ''] = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const called = first === 'help' ? second : first;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (GO_ON_UNREAD.includes(command)) return;
  if (error.code !== 'EPIPE') console.error(`locmoe: standard output: ${error.message}`);
  process.exit(error.code === 'EPIPE' ? EXIT.done : EXIT.badConfig);
});
process.stderr.on('error', () => undefined);
// Unhandled rejections arrive here too. While a run is led, coordinator/run-host.ts handles both.
process.on('uncaughtException', (error) => process.exit(report(error)));

const program = new Command('locmoe')
  .description('Train mixture-of-experts language models across processes and nodes, on Node and gRPC.')
  .version(VERSION)
  .showHelpAfterError('(add --help for what it takes)')
  .exitOverride()
  .hook('preAction', async (_, action) => {
    command = action.name();
    if (called === 'bench') await (await import('../local/set-up.js')).ensureTensorFlow();
  })
  .addHelpText(
    'after',
    '\nExit codes: 0 done, also inspect and api at Ctrl-C, 1 no line matches (logs) or not usable (health, doctor), 2 bad configuration or input, 3 failed run, also one that status tells of (or ended at once by a second signal), 4 no checkpoint that loads, 130 interrupted, after a final checkpoint if it trained.',
  );

try {
  // Subcommands inherit the settings above, so they are added after these.
  for (const [name, { description, load }] of Object.entries(COMMANDS)) {
    const added = program.command(name).description(description);
    if (name === called) (await load())(added);
  }
  await addBenchCommands(program, called);
  // Without this check commander answers with the help of all commands.
  if (first === 'help' && second !== '' && !program.commands.some((each) => each.name() === second))
    program.error(`error: unknown command '${second}'`, { exitCode: EXIT.badConfig });
  await program.parseAsync();
} catch (error) {
  // The terminal's Ctrl-C also reaches a child process that was waited for: the signal is then the reason,
  // not the child's exit. This process learns of the signal within two turns of the event loop.
  await setImmediate();
  await setImmediate();
  process.exitCode = report(error);
}
if (GO_ON_UNREAD.includes(command)) {
  await Promise.all([process.stdout, process.stderr].map(flushed));
  // Nothing is left to do, but sockets to a machine that does not answer would keep the process for minutes.
  process.exit();
}

/** Resolves once what was written to `stream` has left this process, or its reader took too long. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, FLUSH_TIMEOUT_MS).unref();
    stream.write('', () => resolve());
  });
}

function report(error: unknown): number {
  if (isCommanderError(error)) return error.exitCode === 0 ? EXIT.done : EXIT.badConfig;
  const known = asTrainerError(error);
  console.error(`locmoe: ${printable(known.line)}`);
  if (known.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
  return exitCodeOf(known);
}

function isCommanderError(error: unknown): error is Error & { exitCode: number } {
  return (
    error instanceof Error &&
    'exitCode' in error &&
    'code' in error &&
    String(error.code).startsWith('commander.')
  );
}
