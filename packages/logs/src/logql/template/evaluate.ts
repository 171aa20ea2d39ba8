import { Regex, type RegexGroup } from '../regex.js';
import type { CallContext, TemplateData } from './arguments.js';
import type { Command, Operand, Pipe, Template, TemplateNode } from './ast.js';
import { callFunction } from './functions.js';
import { isTrue, TemplateError, textOf, typeName, type Value } from './values.js';

/** Limits the output of formats that repeat the line, which grows exponentially with the number of stages. */
const MAX_CHARACTERS = 1 << 20;
/**
 * Maximum number of steps for one line: nodes and calls, characters that functions read and write, and
 * regular expressions.
 */
const MAX_STEPS = 1 << 22;
/** Cost of a node or a call, where a character costs 1. */
const NODE_STEPS = 8;
const MAX_PATTERNS = 100;

export class TemplateRunner implements CallContext {
  data: TemplateData = { labels: new Map(), text: '' };
  #output = '';
  #steps = 0;
  #variables: { readonly name: string; value: Value }[] = [];
  readonly #regexes = new Map<string, Regex>();

  constructor(
    private readonly template: Template,
    private readonly group: RegexGroup,
  ) {}

  /** @throws TemplateError if the template fails on this line */
  run(data: TemplateData): string {
    this.data = data;
    this.#output = '';
    this.#steps = 0;
    this.#variables = [{ name: '$', value: data.labels }];
    this.#nodes(this.template, data.labels);
    return this.#output;
  }

  regex(pattern: string): Regex {
    let regex = this.#regexes.get(pattern);
    if (regex === undefined) {
      if (this.#regexes.size >= MAX_PATTERNS) throw new TemplateError('too many regular expressions');
      try {
        regex = new Regex(pattern, this.group);
      } catch (error) {
        throw new TemplateError((error as Error).message);
      }
      this.#regexes.set(pattern, regex);
    }
    return regex;
  }

  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new TemplateError('the template does too much on one line');
  }

  #spendOn(value: Value): void {
    if (typeof value === 'string') this.spend(value.length);
  }

  #nodes(nodes: Template, dot: Value): void {
    for (const node of nodes) this.#node(node, dot);
  }

  #node(node: TemplateNode, dot: Value): void {
    this.spend(NODE_STEPS);
    switch (node.kind) {
      case 'text':
        this.#write(node.text);
        return;
      case 'action': {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.variable === null) this.#write(textOf(value));
        return;
      }
      default:
        this.#branch(node, dot);
    }
  }

  #write(text: string): void {
    this.spend(text.length);
    this.#output += text.slice(0, MAX_CHARACTERS - this.#output.length);
  }

  #branch(node: Extract<TemplateNode, { pipe: Pipe; then: Template }>, dot: Value): void {
    const numVariables = this.#variables.length;
    const value = this.#pipe(node.pipe, dot);
    if (isTrue(value)) this.#nodes(node.then, node.kind === 'with' ? value : dot);
    else this.#nodes(node.else, dot);
    this.#variables.length = numVariables;
  }

  #pipe({ variable: name, isAssignment, commands }: Pipe, dot: Value): Value {
    const value = this.#commands(commands, dot);
    if (isAssignment) this.#variables.findLast((variable) => variable.name === name)!.value = value;
    else if (name !== null) this.#variables.push({ name, value });
    return value;
  }

  #commands(commands: readonly Command[], dot: Value): Value {
    let value: Value | undefined;
    for (const command of commands) value = this.#command(command, dot, value);
    return value!;
  }

  #command([first, ...operands]: Command, dot: Value, piped: Value | undefined): Value {
    if (first.kind === 'function') return this.#call(first.name, operands, dot, piped);
    if (piped !== undefined) throw new TemplateError('a value cannot be piped into a value');
    return this.#operand(first, dot);
  }

  #call(name: string, operands: readonly Operand[], dot: Value, piped: Value | undefined): Value {
    const args: Value[] = [];
    for (const operand of operands) {
      args.push(this.#operand(operand, dot));
      // `and` and `or` stop as soon as their value is known.
      if ((name === 'and' || name === 'or') && isTrue(args.at(-1)!) === (name === 'or')) return args.at(-1)!;
    }
    if (piped !== undefined) args.push(piped);
    this.spend(NODE_STEPS);
    for (const arg of args) this.#spendOn(arg);
    const value = callFunction(name, args, this);
    this.#spendOn(value);
    return value;
  }

  #operand(operand: Operand, dot: Value): Value {
    switch (operand.kind) {
      case 'literal':
        return operand.value;
      case 'function':
        return this.#call(operand.name, [], dot, undefined);
      case 'field':
        return this.#follow(dot, operand.path);
      case 'variable': {
        const { value } = this.#variables.findLast(({ name }) => name === operand.name)!;
        return this.#follow(value, operand.path);
      }
      case 'pipe': {
        const numVariables = this.#variables.length;
        const value = this.#pipe(operand.pipe, dot);
        this.#variables.length = numVariables;
        return this.#follow(value, operand.path);
      }
    }
  }

  #follow(value: Value, path: readonly string[]): Value {
    let at = value;
    for (const name of path) {
      if (!(at instanceof Map)) throw new TemplateError(`no field ${name} in ${typeName(at)}`);
      // A missing label is empty.
      at = at.get(name) ?? '';
    }
    return at;
  }
}
