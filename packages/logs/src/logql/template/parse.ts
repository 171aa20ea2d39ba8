import { unquote } from '../tokens.js';
import { parseNumber } from '../units.js';
import type { Command, Operand, Pipe, Template, TemplateNode } from './ast.js';
import { FUNCTION_NAMES } from './functions.js';
import { unsupportedVerb } from './strings.js';
import type { Value } from './values.js';

type Fail = (message: string) => Error;

const UNSUPPORTED: readonly string[] = ['range', 'break', 'continue', 'define', 'template', 'block'];
const MAX_DEPTH = 50;

/** Parses a template. @param fail creates the error for a mistake */
export function parseTemplate(text: string, fail: Fail): Template {
  return new TemplateParser(splitTemplate(text, fail), fail).parse();
}

class TemplateParser {
  #next = 0;
  #depth = 0;
  readonly #variables = ['$'];

  constructor(
    private readonly sections: readonly Section[],
    private readonly fail: Fail,
  ) {}

  parse(): Template {
    const nodes = this.#nodes();
    if (this.#next < this.sections.length) throw this.fail('template: unexpected {{end}} or {{else}}');
    return nodes;
  }

  /** Reads nodes up to the end or to an action `end` or `else`, which is not consumed. */
  #nodes(): TemplateNode[] {
    const nodes: TemplateNode[] = [];
    for (; this.#next < this.sections.length; ) {
      const section = this.sections[this.#next]!;
      if ('text' in section) nodes.push({ kind: 'text', text: section.text });
      else {
        const [word = '', ...tokens] = section.tokens;
        if (word === 'end' || word === 'else') return nodes;
        nodes.push(this.#action(word, tokens, section.tokens));
      }
      this.#next++;
    }
    return nodes;
  }

  #action(word: string, after: readonly string[], all: readonly string[]): TemplateNode {
    if (word === 'if' || word === 'with') return this.#branch(word, after);
    if (UNSUPPORTED.includes(word)) throw this.fail(`template: \`{{${word}}}\` is not supported`);
    return { kind: 'action', pipe: this.#wholePipe(all) };
  }

  /** Reads a branch up to and including the action `end`. */
  #branch(kind: 'if' | 'with', tokens: readonly string[]): TemplateNode {
    if (++this.#depth > MAX_DEPTH) throw this.fail('template: nested too deeply');
    const numVariables = this.#variables.length;
    const pipe = this.#wholePipe(tokens);
    this.#next++;
    const then = this.#nodes();
    const otherwise = this.#otherwise();
    this.#variables.length = numVariables;
    this.#depth--;
    return { kind, pipe, then, else: otherwise };
  }

  /** Reads from an action `else` or `end` to the matching `end`. */
  #otherwise(): TemplateNode[] {
    const section = this.sections[this.#next];
    if (section === undefined || 'text' in section) throw this.fail('template: missing {{end}}');
    const [word, branch, ...tokens] = section.tokens;
    if (word === 'end') return [];
    if (branch === 'if' || branch === 'with') return [this.#branch(branch, tokens)];
    if (branch !== undefined) throw this.fail(`template: unexpected ${branch} after else`);
    this.#next++;
    const nodes = this.#nodes();
    const end = this.sections[this.#next];
    if (end === undefined || 'text' in end || end.tokens[0] !== 'end')
      throw this.fail('template: missing {{end}}');
    return nodes;
  }

  #wholePipe(tokens: readonly string[]): Pipe {
    const rest = [...tokens];
    const pipe = this.#pipe(rest);
    if (rest.length > 0) throw this.fail(`template: unexpected ${rest[0]}`);
    return pipe;
  }

  /** Takes a pipeline from the front of the tokens. */
  #pipe(tokens: string[]): Pipe {
    const { variable, isAssignment } = this.#declaration(tokens);
    const commands: Command[] = [];
    do commands.push(this.#command(tokens));
    while (tokens[0] === '|' && tokens.shift() !== undefined);
    return { variable, isAssignment, commands };
  }

  #declaration(tokens: string[]): Pick<Pipe, 'variable' | 'isAssignment'> {
    const [variable, operator] = tokens;
    if (!variable?.startsWith('$') || (operator !== ':=' && operator !== '='))
      return { variable: null, isAssignment: false };
    tokens.splice(0, 2);
    if (operator === ':=') this.#variables.push(variable);
    else if (!this.#variables.includes(variable))
      throw this.fail(`template: undefined variable "${variable}"`);
    return { variable, isAssignment: operator === '=' };
  }

  #command(tokens: string[]): Command {
    const operands: Operand[] = [];
    while (tokens.length > 0 && tokens[0] !== '|' && !tokens[0]!.startsWith(')'))
      operands.push(this.#operand(tokens));
    const [first, ...others] = operands;
    const [format] = others;
    if (first?.kind === 'function' && first.name === 'printf' && format?.kind === 'literal') {
      const verb = unsupportedVerb(String(format.value));
      if (verb !== null)
        throw this.fail(`template: printf: ${verb} is not supported: there are %s %v %q %d %t %f %.2f %%`);
    }
    if (first === undefined) throw this.fail('template: missing value for command');
    if (others.length > 0 && first.kind !== 'function')
      throw this.fail('template: only functions take arguments');
    return [first, ...others];
  }

  #operand(tokens: string[]): Operand {
    const token = tokens.shift()!;
    if (token === '(') {
      if (++this.#depth > MAX_DEPTH) throw this.fail('template: nested too deeply');
      const pipe = this.#pipe(tokens);
      this.#depth--;
      const close = tokens.shift();
      if (!close?.startsWith(')')) throw this.fail('template: missing )');
      return { kind: 'pipe', pipe, path: pathOf(close.slice(1)) };
    }
    if (token.startsWith('$')) {
      const name = token.split('.')[0]!;
      if (!this.#variables.includes(name)) throw this.fail(`template: undefined variable "${name}"`);
      return { kind: 'variable', name, path: pathOf(token.slice(name.length)) };
    }
    if (token === '.' || /^\.[A-Za-z_]/.test(token)) return { kind: 'field', path: pathOf(token) };
    const value = literal(token);
    if (value !== undefined) return { kind: 'literal', value };
    if (!FUNCTION_NAMES.has(token))
      throw this.fail(
        `template: function "${token}" not defined: there are ${[...FUNCTION_NAMES].join(' ')}`,
      );
    return { kind: 'function', name: token };
  }
}

function pathOf(text: string): string[] {
  return text.split('.').filter((name) => name !== '');
}

/** Returns undefined if the token is not a literal. */
function literal(token: string): Value | undefined {
  if (token === 'true' || token === 'false') return token === 'true';
  if (/^["`]/.test(token)) return unquote(token) ?? undefined;
  if (/^[+-]?\d+$/.test(token)) {
    const value = BigInt(token.replace('+', ''));
    // Go's int has 64 bits.
    return value === BigInt.asIntN(64, value) ? value : undefined;
  }
  return /^[+-]?[\d.]/.test(token) ? (parseNumber(token) ?? undefined) : undefined;
}

/** A text between actions, or the tokens of an action. */
type Section = { readonly text: string } | { readonly tokens: readonly string[] };

const ACTION_TOKEN =
  /\s+|("(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)'|\$\w*(?:\.[A-Za-z_]\w*)*|(?:\.[A-Za-z_]\w*)+|[+-]?(?:0[xXbBoO][0-9A-Fa-f_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|\.|[A-Za-z_]\w*|\)(?:\.[A-Za-z_]\w*)*|[(|,]|:=|=)/gy;

/** Splits a template at its actions; `{{-` and `-}}` trim the text beside them. */
function splitTemplate(template: string, fail: Fail): Section[] {
  const sections: Section[] = [];
  let rest = template;
  let trimsStart = false;
  for (;;) {
    const open = rest.indexOf('{{');
    const trimsEnd = open >= 0 && /^-\s/.test(rest.slice(open + 2, open + 4));
    let text = open < 0 ? rest : rest.slice(0, open);
    if (trimsStart) text = text.trimStart();
    if (trimsEnd) text = text.trimEnd();
    if (text !== '') sections.push({ text });
    if (open < 0) return sections;
    const inside = rest.slice(open + (trimsEnd ? 3 : 2));
    const comment = /^\s*\/\*.*?\*\/\s*/s.exec(inside)?.[0];
    const tokens: string[] = [];
    let at = comment?.length ?? 0;
    if (comment === undefined)
      for (const [all, token] of inside.matchAll(ACTION_TOKEN)) {
        at += all.length;
        if (token !== undefined) tokens.push(token);
      }
    const close = /^(\s*-)?\}\}/.exec(inside.slice(at));
    trimsStart = close?.[1] !== undefined && /\s$/.test(inside.slice(0, at) || ' ');
    if (close === null) {
      if (!inside.includes('}}')) throw fail('template: unclosed action');
      throw fail(`template: unexpected ${JSON.stringify(inside.slice(at, at + 10))} in an action`);
    }
    if (comment === undefined) sections.push({ tokens });
    rest = inside.slice(at + close[0].length);
  }
}
