// `npm run study -- NAME [options]`: repeats the measurements of docs/results, or with `--report` writes page
// and pictures from the kept figures.
import 'locmoe/internal/local/quiet-libraries';
import { Command, CommanderError } from 'commander';
import { asTrainerError, EXIT, exitCodeOf } from 'locmoe/internal/errors';
import { endAtSignals } from 'locmoe/internal/os/on-signals';
import { STUDIES } from './index.js';

endAtSignals();
const [called = ''] = process.argv.slice(2);
const program = new Command('study')
  .description('Measure again what docs/results says; each study makes one page of it.')
  .showHelpAfterError('(add --help for what it takes)')
  .exitOverride();
try {
  const commands = { ...STUDIES, all: () => import('./all.js') };
  const load = Object.entries(commands).find(([name]) => name === called)?.[1];
  for (const each of load === undefined ? Object.values(commands) : [load])
    program.addCommand((await each()).default.copyInheritedSettings(program));
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
// Measured servers and clients may still hold connections.
process.exit();

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.badConfig;
  const known = asTrainerError(error);
  console.error(`study: ${known.line}`);
  if (known.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
  return exitCodeOf(known);
}
