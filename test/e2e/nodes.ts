import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { randomToken } from '../../src/rpc/security.js';
import { Locmoe, trainArguments } from './support.js';

/** The option of a token that all members are given: where a proxy stands between them, they cannot find it. */
export function withToken(folder: string): string[] {
  const file = path.join(folder, 'token');
  writeFileSync(file, randomToken());
  return ['--token-file', file];
}

/** `locmoe serve` of the micro model, for two nodes of a worker each. */
export function serve(folder: string, port: number, sets: readonly string[], ...flags: string[]): Locmoe {
  const [, ...training] = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets });
  return new Locmoe(['serve', ...training, '--listen', `127.0.0.1:${port}`, ...flags]);
}

/** `locmoe node` for that coordinator. */
export function node(port: number, ...flags: string[]): Locmoe {
  return new Locmoe(['node', '--coordinator', `localhost:${port}`, '--join-timeout', '30', ...flags]);
}
