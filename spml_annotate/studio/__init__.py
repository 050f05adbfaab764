"""Everything that speaks Label Studio: addresses, tokens, labelling configs, tasks and annotations, safe fetching."""
