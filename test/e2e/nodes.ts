import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { randomToken } from '../../src/rpc/security.js';
import { Locmoe, trainArguments, UNHURRIED } from './support.js';

/**
 * Makes a token, and returns the option for it that all members get: behind a proxy they cannot find the token
 * themselves.
 */
export function withToken(folder: string): string[] {
  const file = path.join(folder, 'token');
  writeFileSync(file, randomToken());
  return ['--token-file', file];
}

/** `locmoe serve` of the micro model, for two nodes of a worker each. */
export function serve(folder: string, port: number, sets: readonly string[], ...flags: string[]): Locmoe {
  return serveWith({}, folder, port, sets, ...flags);
}

/** The same, with an environment of its own. */
export function serveWith(
  env: Readonly<Record<string, string>>,
  folder: string,
  port: number,
  sets: readonly string[],
  ...flags: string[]
): Locmoe {
  const [, ...training] = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets });
  return new Locmoe(['serve', ...training, '--listen', `127.0.0.1:${port}`, ...flags], env);
}

/** `locmoe node` for that coordinator, whose worker pauses between its steps. */
export function node(port: number, ...flags: string[]): Locmoe {
  const args = ['node', '--coordinator', `localhost:${port}`, '--join-timeout', '30', ...flags];
  return new Locmoe(args, UNHURRIED);
}

/** Waits until all have ended; expects each to succeed and leave nothing. */
export async function expectGoodEnds(...all: readonly Locmoe[]): Promise<void> {
  for (const each of all) {
    const { code, stdout, stderr } = await each.finished;
    expect(code, stdout + stderr).toBe(0);
    await each.expectNothingLeft();
  }
}
