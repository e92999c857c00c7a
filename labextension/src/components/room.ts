/** What every component of the panel may use, handed down by one React context. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { SendWith } from '../chat/keys';
import { isAsking, Observable, type IChatState } from '../chat/state';
import type { ChatStore } from '../chat/store';
import type { ICodeTarget, ICodeTargets } from '../chat/tokens';
import type { Compacting } from './compacting';
import type { IMarkdownKit } from './markdown/view';

export interface IPanelRoom {
  trans: TranslationBundle;
  store: ChatStore;
  kit: IMarkdownKit;
  targets: Targets;
  settings: Settings;
  compacting: Compacting;
}

export interface IPanelSettings {
  showReasoning: boolean;
  sendWith: SendWith;
  notifyWhenDone: boolean;
  /** the active notebook and the selection are offered by themselves */
  autoContext: boolean;
}

/** The code targets once the notebook plugin has set them. */
export class Targets extends Observable<{ target: ICodeTarget }> {
  constructor() {
    super({ target: {} });
  }

  use(targets: ICodeTargets): void {
    targets.onChanged(() => this.set({ target: targets.current() }));
    this.set({ target: targets.current() });
  }
}

export class Settings extends Observable<IPanelSettings> {
  /** Keeps a value where the user's settings are kept; this page has it already. */
  store: (
    name: keyof IPanelSettings,
    value: boolean | string
  ) => Promise<void> = () => Promise.resolve();

  change(settings: Partial<IPanelSettings>): void {
    this.set(settings);
  }
}

export const RoomContext = React.createContext<IPanelRoom | null>(null);

export function useRoom(): IPanelRoom {
  const room = React.useContext(RoomContext);
  if (!room) {
    throw new Error('The component stands outside of the panel.');
  }
  return room;
}

/** An answer is being written, waits for its turn or is asked for: nothing is asked again now. */
export function useBusy(): boolean {
  return useChat(isAsking);
}

/** Why what asks anew does nothing now. */
export function busyWords(trans: TranslationBundle): string {
  return trans.__('Possible when the answer that runs has ended');
}

/** A piece of the chat's state; drawn again only when that piece changes. */
export function useChat<T>(select: (state: IChatState) => T): T {
  const { store } = useRoom();
  return React.useSyncExternalStore(store.subscribe, () =>
    select(store.getState())
  );
}
