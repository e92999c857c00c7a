/**
 * What the composer is given: the chat's state as values, and what it may do as
 * functions. It knows no store and no server, so it can be drawn in a test.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ComposerModel, ITaken } from '../../chat/composer';
import type { SendWith } from '../../chat/keys';
import type { Preview } from '../../chat/preview';
import type { ISending } from '../../chat/state';
import type { IWorkspaceFiles } from '../../chat/upload';
import type { IStatus, ITurn, IUsageReport } from '../../wire/types';

/** The chat's side that changes: drawn again when it does. */
export interface IComposerChat {
  status: IStatus | null;
  /** a turn of the conversation shown runs or is queued */
  running: boolean;
  /** pending and held turns of the conversation shown, first to be sent first */
  pending: readonly ITurn[];
  /** the conversation is still being read: `pending` is not known yet */
  opening: boolean;
  /** those of them that ask an earlier question anew */
  edits: ReadonlySet<string>;
  /** questions on their way to the server that will wait there, too */
  sending: readonly ISending[];
  /** questions of the branch shown, oldest first: what arrow-up recalls */
  questions: readonly string[];
  /** id of the model that the next question goes to */
  model: string | null;
  /** nothing can be sent at all (server part missing); why, in words */
  blocked: string | null;
  /** the last look found the server there */
  reached: boolean;
  /** a running or finished summing-up, in words: tokens before and after */
  compacting: string | null;
}

/** What the composer does with it. Each answers when the server has answered. */
export interface IComposerActions {
  /** rejects when the server did not take the question: it goes back into the text */
  send(taken: ITaken, options: { now: boolean }): Promise<void>;
  stop(): void;
  /** it is edited and does not start; or the edit has ended, and it waits on */
  holdPending(turn: ITurn, held: boolean): Promise<void>;
  /** a pending turn: change its text, take it out, or send it before all others */
  changePending(turn: ITurn, text: string): Promise<void>;
  removePending(turn: ITurn): Promise<void>;
  sendPending(turn: ITurn): Promise<void>;
  chooseModel(id: string): void;
  newConversation(): void;
  /** sum the conversation up in place; or begin a new one with the summary */
  compact(): Promise<void>;
  newFromSummary(): Promise<void>;
  usage(): Promise<IUsageReport>;
}

export interface IComposerProps {
  trans: TranslationBundle;
  model: ComposerModel;
  preview: Preview;
  chat: IComposerChat;
  actions: IComposerActions;
  /** where uploads go */
  files: IWorkspaceFiles;
  sendWith: SendWith;
}
