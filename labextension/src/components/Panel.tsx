/** The panel: header, banners, transcript (or list, or empty state), composer. */
import * as React from 'react';

import type { SendWith } from '../chat/keys';
import { isSending } from '../chat/state';
import type { IWorkspaceFiles } from '../chat/upload';
import { Banners } from './banner';
import type { IComposerRoom } from './composer/bind';
import { ComposerRoom } from './composer/ComposerRoom';
import { Empty } from './empty';
import { Header } from './history/Header';
import { History } from './history/History';
import { RoomContext, useChat, useRoom, type IPanelRoom } from './room';
import { Transcript } from './transcript/Transcript';

export interface IPanelProps {
  room: IPanelRoom;
  composer: IComposerRoom;
  files: IWorkspaceFiles;
}

export function Panel(props: IPanelProps): JSX.Element {
  const { room, composer, files } = props;
  const { trans, store, settings } = room;
  const [listing, setListing] = React.useState(false);
  const { sendWith, notifyWhenDone } = React.useSyncExternalStore(
    settings.subscribe,
    settings.getState
  );
  const close = (): void => {
    setListing(false);
    composer.model.focus();
  };
  return (
    <RoomContext.Provider value={room}>
      <Header
        trans={trans}
        store={store}
        listing={listing}
        toggleList={() => (listing ? close() : setListing(true))}
        began={close}
      />
      <Banners trans={trans} store={store} />
      {listing ? (
        <History
          trans={trans}
          store={store}
          close={close}
          notify={{
            on: notifyWhenDone,
            change: on => {
              settings.change({ notifyWhenDone: on });
              void settings.store('notifyWhenDone', on);
            }
          }}
        />
      ) : null}
      <div className="jp-Cellar-conversation" hidden={listing}>
        <Body composer={composer} sendWith={sendWith} />
      </div>
      <ComposerRoom
        trans={trans}
        store={store}
        room={composer}
        files={files}
        sendWith={sendWith}
      />
    </RoomContext.Provider>
  );
}

/** Nothing asked yet: what Cellar sees, and what to begin with. */
function Body(props: {
  composer: IComposerRoom;
  sendWith: SendWith;
}): JSX.Element {
  const { composer, sendWith } = props;
  const { trans } = useRoom();
  const empty = useChat(state => !state.turns.size && !isSending(state));
  const opening = useChat(state => state.opening);
  const status = useChat(state => state.status);
  if (opening && empty) {
    return <div className="jp-Cellar-opening" aria-busy="true" />;
  }
  return empty ? (
    <Empty
      trans={trans}
      model={composer.model}
      status={status}
      sendWith={sendWith}
    />
  ) : (
    <Transcript />
  );
}
