import type { KoffiFunc, LibraryHandle } from 'koffi';

declare const typedef: unique symbol;

/** A pointer whose C type is the typedef `T`. */
export interface Handle<T extends string> {
  readonly [typedef]: T;
}

type Number = 'size_t' | 'int32_t' | 'int64_t' | 'uint32_t';

/** The TypeScript type of a C parameter. */
type Argument<Parameter extends string> = Parameter extends `${infer Type}_Nullable ${infer Name}`
  ? Argument<`${Type}${Name}`> | null
  : Parameter extends `_Out_ const char **${string}`
    ? [string | null]
    : Parameter extends `_Out_ ${infer T} *${string}`
      ? [Handle<T> | null]
      : Parameter extends `const char *${string}`
        ? string
        : Parameter extends `const int64_t *${string}`
          ? BigInt64Array
          : Parameter extends `void *${string}`
            ? bigint | NodeJS.ArrayBufferView
            : Parameter extends `${Number} ${string}`
              ? number
              : Parameter extends `${infer T}_t ${string}`
                ? Handle<`${T}_t`>
                : number;

type Arguments<List extends string> = List extends ''
  ? []
  : List extends `${infer First}, ${infer Rest}`
    ? [Argument<First>, ...Arguments<Rest>]
    : [Argument<List>];

type Result<Prototype extends string> = Prototype extends `void *${string}`
  ? bigint
  : Prototype extends `void ${string}`
    ? undefined
    : number;

/**
 * The TypeScript type of a function with this C prototype. Pointers of different typedefs are of different types, and
 * null is accepted only for a `_Nullable` parameter.
 */
export type CFunction<Prototype extends string> = Prototype extends `${string}(${infer List})`
  ? (...args: Arguments<List>) => Result<Prototype>
  : never;

/** Binds a function of a C library. */
export function cFunction<Prototype extends string>(library: LibraryHandle, prototype: Prototype) {
  // Koffi accepts null for every pointer, and would require the typedefs to be declared.
  const plain = prototype
    .replaceAll('_Nullable ', '')
    .replaceAll(/\b(?!size_t|u?int\d+_t)\w+_t\b/g, 'void *');
  return library.func(plain) as KoffiFunc<CFunction<Prototype>>;
}
