// The part of the WebAssembly API that this folder uses; @types/node does not declare it.
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: {
      readonly initial: number;
      readonly maximum?: number;
      readonly shared?: boolean;
    });
    readonly buffer: ArrayBufferLike;
  }
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>);
    readonly exports: Readonly<Record<string, (...numbers: number[]) => number>>;
  }
}
