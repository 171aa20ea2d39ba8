/** A strip over x, with its label on the left and a note on the right. */
export interface ChartRow {
  readonly key: string;
  readonly label: string;
  readonly height: number;
  /** Dim text after the label. */
  readonly detail?: string;
  readonly note?: string;
  /** The cause of a failure. */
  readonly isBlamed?: boolean;
  /** A row that stands for those below it, which its button shows or hides. */
  readonly isOpen?: boolean;
}
