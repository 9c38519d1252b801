"""Where exposures really are: matching, joint adjustment, tweakreg, assign_mtwcs."""
