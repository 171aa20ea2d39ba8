import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { CLI, ROOT } from './support.js';

/** Languages of fenced blocks that hold no commands. */
const NOT_COMMANDS = [
  'text',
  'promql',
  'sql',
  'ts',
  'js',
  'diff',
  'python',
  'yaml',
  'json',
  'html',
  'dockerfile',
];
/** How a code span that is meant to be typed begins. */
const TYPED =
  /^(?:npx |npm |node scripts\/|docker |kubectl |locmoe |cp |packages\/bench\/peers\/install\.sh)/;
/** `locmoe train` in a sentence: a subcommand by its name, perhaps with a placeholder in brackets. */
const NAME = /^locmoe ((?:[a-z]+ ?)+)(?: ?\[[^\]]*\])?$/;

export interface DocumentedCommands {
  /** Lines of `sh` blocks and code spans meant to be typed, without comments and with continuation lines joined. */
  readonly commands: ReadonlySet<string>;
  /** Subcommands that the text names, such as `bench step`. */
  readonly names: ReadonlySet<string>;
}

/**
 * The commands that README.md, CONTRIBUTING.md and docs/ tell a reader to type. The reports under docs/results are left
 * out: benches write them.
 *
 * @throws Error for a fenced block that does not say whether it holds commands
 */
export function documentedCommands(): DocumentedCommands {
  const pages = globSync(['{README,CONTRIBUTING}.md', 'docs/*.md', 'docs/tutorials/*.md'], { cwd: ROOT });
  const commands = new Set<string>();
  const names = new Set<string>();
  for (const file of pages) {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    const prose = text.replace(/^```(\S*).*\n((?:.*\n)*?)```$/gm, (_, language: string, block: string) => {
      if (language === 'sh') for (const line of linesOf(block)) commands.add(line);
      else if (!NOT_COMMANDS.includes(language))
        throw new Error(`${file}: a block fenced as '${language}': expected sh, ${NOT_COMMANDS.join(', ')}`);
      return '';
    });
    for (const [, span] of prose.matchAll(/`([^`\n]+)`/g)) {
      const name = NAME.exec(span);
      if (name !== null) names.add(name[1].trim());
      else if (TYPED.test(span)) commands.add(span);
    }
  }
  return { commands, names };
}

/** Commands of the `sh` blocks of a page, in order. */
export function commandsOf(page: string): string[] {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```sh\n((?:.*\n)*?)```$/gm)].flatMap(([, block]) => linesOf(block));
}

/**
 * Makes `locmoe` and `npx` commands that run the build, as a checkout has them after `npm run setup`.
 *
 * @returns a PATH with both
 */
export function pathWithCommands(folder: string): string {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(path.join(bin, 'locmoe'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`);
  writeFileSync(path.join(bin, 'npx'), `#!/bin/sh\nexec "$@"\n`);
  for (const name of ['locmoe', 'npx']) chmodSync(path.join(bin, name), 0o755);
  return `${bin}:${process.env.PATH}`;
}

function linesOf(block: string): string[] {
  return block
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}
