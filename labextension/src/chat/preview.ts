/**
 * What the next question would cost, asked of the server while it is being
 * written. Late and allowed to fail: nothing waits for it, least of all a send.
 */
import { errorInfo } from '../api';
import type {
  ContextPart,
  IErrorInfo,
  IPreviewRequest,
  IReceipt,
  IReceiptPart
} from '../wire/types';
import { readParts } from './items';
import { rowsOfParts } from './meter';
import type { IContextItem } from './tokens';

export interface IPreviewState {
  receipt: IReceipt | null;
  /** the receipt's row of each attached item, by its key */
  rows: ReadonlyMap<string, IReceiptPart>;
  /** items that could not be read: their cell or file is gone */
  gone: ReadonlySet<string>;
  /** the question was more than the model reads or the server takes: how it said so */
  tooLong: IErrorInfo | null;
}

export type AskPreview = (
  request: IPreviewRequest,
  signal: AbortSignal
) => Promise<IReceipt>;

export type PreviewQuestion = Omit<IPreviewRequest, 'context'>;

const NOTHING: IPreviewState = {
  receipt: null,
  rows: new Map(),
  gone: new Set(),
  tooLong: null
};

/** Milliseconds of rest before asking, and after a key: each asking reads what is attached. */
export const PREVIEW_REST = 500;
export const TYPING_REST = 2_000;

const TOO_LONG: ReadonlySet<string> = new Set([
  'too_large',
  'context_too_long'
]);

export class Preview {
  constructor(
    private readonly ask: AskPreview,
    /** characters that the model can read in all; undefined: not known yet */
    private readonly most: () => number | undefined = () => undefined
  ) {}

  getState = (): IPreviewState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Ask soon about this; an earlier question that is under way is dropped. */
  want(
    question: PreviewQuestion,
    items: readonly IContextItem[],
    rest = PREVIEW_REST
  ): void {
    this.cancel();
    this.timer = setTimeout(() => {
      void this.run(question, items);
    }, rest);
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = undefined;
  }

  reset(): void {
    this.cancel();
    this.set(NOTHING);
  }

  private async run(
    question: PreviewQuestion,
    items: readonly IContextItem[]
  ): Promise<void> {
    const abort = new AbortController();
    this.running = abort;
    const most = this.most();
    try {
      const read = await readParts(items, most);
      const parts = read.filter((part): part is ContextPart => part !== null);
      if (abort.signal.aborted) {
        return;
      }
      const receipt = await this.ask(
        { ...question, context: parts.map(withoutPicture) },
        abort.signal
      );
      if (!abort.signal.aborted) {
        this.set(matched(receipt, items, read));
      }
    } catch (error) {
      // The meter keeps its last figure; a send says what is wrong, in words.
      if (!abort.signal.aborted) {
        this.refused(errorInfo(error), question, items);
      }
    }
  }

  /** It must not look as if there were room; nor too long when something else is asked. */
  private refused(
    info: IErrorInfo,
    { text }: PreviewQuestion,
    items: readonly IContextItem[]
  ): void {
    const asked = [text, ...items.map(item => item.key)];
    const { long } = this;
    const same =
      asked.length === long.length && asked.every((it, at) => it === long[at]);
    if (TOO_LONG.has(info.code)) {
      this.long = asked;
      this.set({ ...this.state, tooLong: info });
    } else if (!same) {
      this.set({ ...this.state, tooLong: null });
    }
  }

  private set(state: IPreviewState): void {
    this.state = state;
    this.listeners.forEach(listener => listener());
  }

  private state: IPreviewState = NOTHING;
  /** what was too long: the text, and the keys of what was attached */
  private long: readonly (string | undefined)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: AbortController | undefined;
  private readonly listeners = new Set<() => void>();
}

/** A picture counts the same whatever it shows: its megabytes stay here. */
function withoutPicture(part: ContextPart): ContextPart {
  return part.type === 'image'
    ? { ...part, image: { ...part.image, data: '' } }
    : part;
}

function matched(
  receipt: IReceipt,
  items: readonly IContextItem[],
  read: readonly (ContextPart | null)[]
): IPreviewState {
  const there = items.filter((_, index) => read[index] !== null);
  const parts = read.filter((part): part is ContextPart => part !== null);
  const rows = new Map<string, IReceiptPart>();
  rowsOfParts(parts, receipt).forEach((row, index) => {
    if (row) {
      rows.set(there[index].key, row);
    }
  });
  const gone = new Set(
    items.filter((_, index) => read[index] === null).map(item => item.key)
  );
  return { receipt, rows, gone, tooLong: null };
}
