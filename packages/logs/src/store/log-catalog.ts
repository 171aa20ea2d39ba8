/** A run whose logs can be read. */
export interface LogFolder {
  readonly run: string;
  /** Holds a file of JSON lines for each source. */
  readonly directory: string;
  /** Name of the program whose logs they are: the label `service_name` of every line. */
  readonly service: string;
}

/** The runs whose logs can be read; whoever composes the server knows where they are. */
export interface LogCatalog {
  /** Asked for every query; new runs appear here. */
  runs(): readonly LogFolder[];
}
