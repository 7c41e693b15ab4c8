"""Pure rules that divide the old system's records; standard library only."""
