"""A discrete-event simulation of fleets that follow the policies of synthesized templates."""
