import type { RunOptions } from './run-plan.js';

/** The words of a command line that others can paste into a shell. */
export function commandLine(words: readonly string[]): string {
  return words.map(quote).join(' ');
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Options of a run that a later generation has to be given again: its configuration comes from the checkpoint. */
export function lastingOptions({ dataDir, samples, http, tensorboard }: RunOptions): string[] {
  return [
    ...(dataDir === 'data' ? [] : ['--data-dir', dataDir]),
    ...(samples ? [] : ['--no-samples']),
    ...(http === false ? ['--no-http'] : http === '127.0.0.1:0' ? [] : ['--http', http]),
    ...(tensorboard === undefined ? [] : ['--tensorboard', tensorboard]),
  ];
}
