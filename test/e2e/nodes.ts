import { Locmoe, trainArguments } from './support.js';

/** `locmoe serve` of the micro model, for two nodes of a worker each. */
export function serve(folder: string, port: number, sets: readonly string[], ...flags: string[]): Locmoe {
  const [, ...training] = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets });
  return new Locmoe(['serve', ...training, '--listen', `127.0.0.1:${port}`, ...flags]);
}

/** `locmoe node` for that coordinator. */
export function node(port: number, ...flags: string[]): Locmoe {
  return new Locmoe(['node', '--coordinator', `localhost:${port}`, '--join-timeout', '30', ...flags]);
}
