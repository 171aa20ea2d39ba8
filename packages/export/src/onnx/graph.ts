/** Name of a value in a graph: an input, an initializer or the output of a node. */
export type Value = string;

type Values<N extends number> = N extends 1
  ? [Value]
  : N extends 2
    ? [Value, Value]
    : N extends 3
      ? [Value, Value, Value]
      : Value[];

export type ElementType = 'FLOAT' | 'INT64';

/** Numbers of element types in attributes of nodes. */
export const FLOAT = 1;
export const INT64 = 7;

/** A plain number is an integer attribute. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface GraphNode {
  readonly name: string;
  readonly operator: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A constant, row-major. */
export interface Initializer {
  readonly name: Value;
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface ValueInfo {
  readonly name: Value;
  readonly type: ElementType;
  /** A string is the name of a size that the caller chooses; equal names are equal sizes. */
  readonly shape: readonly (number | string)[];
}

/**
 * Builds a graph of ONNX operators. Nodes must be added in the order of execution, as the format requires.
 */
export class Graph {
  readonly nodes: GraphNode[] = [];
  readonly inputs: ValueInfo[] = [];
  readonly outputs: ValueInfo[] = [];
  readonly #initializers = new Map<Value, Initializer>();
  readonly #outputsOf = new Map<string, Value[]>();
  #scope = '';

  get initializers(): readonly Initializer[] {
    return [...this.#initializers.values()];
  }

  input(info: ValueInfo): Value {
    this.inputs.push(info);
    return info.name;
  }

  /** Makes `value` an output of the graph under the name of `info`. */
  output(value: Value, info: ValueInfo): void {
    this.#add('Identity', [value], [info.name], {});
    this.outputs.push(info);
  }

  /** Adds a node with one output, which is returned. An empty name omits an optional input. */
  node(
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    return this.nodeWith(1, operator, inputs, attributes)[0];
  }

  /** Adds a node with `numOutputs` outputs, unless the graph has an equal one: no operator here draws random numbers. */
  nodeWith<N extends number>(
    numOutputs: N,
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Values<N> {
    const key = JSON.stringify([numOutputs, operator, inputs, attributes]);
    let outputs = this.#outputsOf.get(key);
    if (outputs === undefined) {
      const name = this.#nameOf(operator);
      outputs = Array.from({ length: numOutputs }, (_, i) => (i === 0 ? name : `${name}:${i}`));
      this.#add(operator, inputs, outputs, attributes);
      this.#outputsOf.set(key, outputs);
    }
    return outputs as Values<N>;
  }

  /** Names the nodes that `build` adds after a part of the model, for people who look at the graph. */
  within<T>(scope: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  /** Adds a constant, unless the graph has one of this name. */
  initializer(name: Value, shape: readonly number[], dataOf: () => Initializer['data']): Value {
    if (!this.#initializers.has(name)) this.#initializers.set(name, { name, shape, data: dataOf() });
    return name;
  }

  /** Adds a list of int64, [n]; equal lists share one constant. */
  integers(...values: readonly number[]): Value {
    return this.initializer(`[${values}]`, [values.length], () => BigInt64Array.from(values, BigInt));
  }

  integer(value: number): Value {
    return this.initializer(`int ${value}`, [], () => BigInt64Array.of(BigInt(value)));
  }

  float(value: number): Value {
    return this.initializer(`float ${value}`, [], () => Float32Array.of(value));
  }

  #nameOf(operator: string): string {
    return [this.#scope, `${operator}.${this.nodes.length}`].filter(Boolean).join('/');
  }

  #add(
    operator: string,
    inputs: readonly Value[],
    outputs: readonly Value[],
    attributes: GraphNode['attributes'],
  ): void {
    this.nodes.push({ name: this.#nameOf(operator), operator, inputs, outputs, attributes });
  }
}
