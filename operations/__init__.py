"""For whoever has to answer for the models: what the topics say of them, shown, exported and watched."""
