import { Command, CommanderError } from 'commander';
import { vi } from 'vitest';
import { COMMANDS } from '../src/cli/commands.js';
import { addBenchCommands } from '../src/cli/packages.js';
import { asTrainerError, EXIT, exitCodeOf } from '../src/errors.js';

/** The output and exit code of a command. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command that starts no processes inside this process, which saves the second that a process takes to start.
 * How src/cli/cli.ts reports errors is tested with processes.
 */
export async function runCommand(name: string, ...args: readonly string[]): Promise<Ran> {
  const printed = { stdout: '', stderr: '' };
  const into =
    (stream: keyof typeof printed, end = '\n') =>
    (text: unknown) => {
      printed[stream] += `${text}${end}`;
    };
  const spies = [
    vi.spyOn(console, 'log').mockImplementation(into('stdout')),
    vi.spyOn(console, 'error').mockImplementation(into('stderr')),
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed.stdout += text;
      return true;
    }),
  ];
  const program = new Command('locmoe').exitOverride().configureOutput({
    writeOut: into('stdout', ''),
    writeErr: into('stderr', ''),
  });
  try {
    if (name in COMMANDS) (await COMMANDS[name].load())(program.command(name));
    else await addBenchCommands(program, name);
    await program.parseAsync([name, ...args], { from: 'user' });
    return { code: EXIT.done, ...printed };
  } catch (error) {
    if (error instanceof CommanderError)
      return { code: error.exitCode === 0 ? EXIT.done : EXIT.badConfig, ...printed };
    const known = asTrainerError(error);
    return { code: exitCodeOf(known), ...printed, stderr: `${printed.stderr}locmoe: ${known.line}\n` };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
