/** What the screen draws. Immutable: a change makes a new object. */
import type {
  IConversationSummary,
  IErrorInfo,
  IPill,
  IStatus,
  ITurn
} from '../wire/types';
import { isBusy, type Turns } from './tree';

/** A question that was sent and not yet acknowledged; what goes along may still be read. */
export interface ISending {
  key: string;
  /** where it was asked; '' is the conversation that does not exist yet */
  conversationId: string;
  text: string;
  pills: IPill[];
}

/** What no retry mends: the server part is not there, or not for this user. */
export function isBlocking(error: IErrorInfo): boolean {
  return error.code === 'extension_missing' || error.code === 'signed_out';
}

/** The banner tells it until a look at the server finds it gone: once is enough. */
export function isTold(error: IErrorInfo): boolean {
  return isBlocking(error) || error.code === 'network';
}

/** Where questions on their way are shown: where the server will put them. */
export interface IOnTheWay {
  /** its answer begins when the server has it */
  next: ISending | null;
  /** these will wait for an answer */
  behind: ISending[];
}

export interface IChatState {
  /** null until the first answer; kept while the server is away */
  status: IStatus | null;
  /** why there is no fresh status: `extension_missing`, `network`, `signed_out` */
  statusError: IErrorInfo | null;
  /** since when (performance.now) the events response is broken; null: it is not */
  lostSince: number | null;
  /** newest first */
  conversations: readonly IConversationSummary[];
  conversationsLoaded: boolean;
  /** '' is the conversation that does not exist yet */
  conversationId: string;
  title: string;
  /**
   * What is being typed came along: the conversation before this one was the new
   * one that got its id, or is gone
   */
  carries: boolean;
  /** the conversation shown is being read */
  opening: boolean;
  turns: Turns;
  head: string | null;
  /** running and waiting turns of conversations that are not shown */
  elsewhere: Turns;
  /** conversations in which an answer has ended that nobody has seen yet */
  unseen: ReadonlySet<string>;
  sending: readonly ISending[];
  /** what the last action failed with; the banner shows it, `dismissNotice` ends it */
  notice: IErrorInfo | null;
  /** the model the user chose; null: the server's default */
  model: string | null;
}

export const EMPTY_CHAT: IChatState = {
  status: null,
  statusError: null,
  lostSince: null,
  conversations: [],
  conversationsLoaded: false,
  conversationId: '',
  title: '',
  carries: false,
  opening: false,
  turns: new Map<string, ITurn>(),
  head: null,
  elsewhere: new Map<string, ITurn>(),
  unseen: new Set<string>(),
  sending: [],
  notice: null,
  model: null
};

/** An answer is written, or a question waits or is on its way: what is asked next comes behind. */
export function isAsking(
  state: Pick<IChatState, 'sending' | 'turns' | 'conversationId'>
): boolean {
  return isBusy(state.turns) || isSending(state);
}

/** A question for the conversation shown is on its way. */
export function isSending({
  sending,
  conversationId
}: Pick<IChatState, 'sending' | 'conversationId'>): boolean {
  return sending.some(each => each.conversationId === conversationId);
}

/** Of the questions on their way those of the conversation shown. */
export function onTheWay(
  state: Pick<IChatState, 'sending' | 'turns' | 'conversationId'>
): IOnTheWay {
  const here = state.sending.filter(
    each => each.conversationId === state.conversationId
  );
  return isBusy(state.turns)
    ? { next: null, behind: here }
    : { next: here[0] ?? null, behind: here.slice(1) };
}

/** State with listeners; knows nothing of the screen. */
export class Observable<T extends object> {
  constructor(protected state: T) {}

  getState = (): T => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  protected set(change: Partial<T>): void {
    this.state = { ...this.state, ...change };
    this.listeners.forEach(listener => listener());
  }

  private readonly listeners = new Set<() => void>();
}
