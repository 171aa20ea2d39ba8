import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogStore } from '@locmoe/logs';
import { AGENT_MESSAGES, fuzzAgent } from './agent-messages.js';
import { COORDINATOR_MESSAGES, fuzzCoordinator } from './coordinator-messages.js';
import { Random } from './random.js';

/**
 * Sends at least `count` mutated messages in rounds, each to a new coordinator and a new agent's data plane.
 *
 * @param answerMs time limit for a valid call right after them
 * @returns a line for each round in which something went wrong
 */
export async function fuzzBothPlanes(count: number, seed: number, answerMs: number): Promise<string[]> {
  const runDir = mkdtempSync(path.join(tmpdir(), 'locmoe-fuzz-messages-'));
  const failures: string[] = [];
  let numCase = 0;
  const fail = (problem: unknown) => failures.push(`case ${numCase} of seed ${seed}: ${problem}`);
  const logs = new LogStore(path.join(runDir, 'logs'), fail);
  process.on('uncaughtException', fail).on('unhandledRejection', fail);
  try {
    for (let left = count; left > 0; left -= COORDINATOR_MESSAGES + AGENT_MESSAGES, numCase++)
      for (const fuzz of [fuzzCoordinator, fuzzAgent])
        try {
          const problems = await fuzz(new Random(seed, numCase), { runDir, logs, answerMs });
          problems.forEach(fail);
        } catch (error) {
          fail(error);
        }
    return failures;
  } finally {
    process.off('uncaughtException', fail).off('unhandledRejection', fail);
    logs.close();
    rmSync(runDir, { recursive: true });
  }
}
