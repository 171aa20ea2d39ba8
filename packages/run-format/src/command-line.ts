import path from 'node:path';

/** Quotes words into a command line that can be pasted into a shell. */
export function commandLine(words: readonly string[]): string {
  return words.map(quote).join(' ');
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Returns the path relative to the working directory. */
export function fromHere(place: string): string {
  return path.relative('.', place) || '.';
}
