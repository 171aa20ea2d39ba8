import { runCommand } from '../../packages/bench/src/collectives/run-command.js';
import { builtCommand } from '../../packages/bench/src/training.js';

const DEADLINE_MS = 1_800_000;

/** Runs the built `locmoe` command with arguments that include `--json`, and parses its output. */
export async function jsonOf<Printed>(args: readonly string[], signal: AbortSignal): Promise<Printed> {
  const printed = await runCommand(process.execPath, {
    args: [builtCommand(), ...args],
    deadlineMs: DEADLINE_MS,
    signal,
  });
  return JSON.parse(printed);
}
